"""Measuring the engine from outside: every case starts its own server and loads it from another process."""
