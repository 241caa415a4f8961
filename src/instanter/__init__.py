"""Instanter: a real-time personalization engine. An event changes the very next decision."""

__version__ = "0.1.0"
