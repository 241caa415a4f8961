"""What runs the engine: configuration, wiring, commands, health and figures."""
