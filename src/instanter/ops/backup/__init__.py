"""Copies of a data directory: made while a server serves it, checked, and put back."""
