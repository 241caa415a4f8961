"""Where candidates come from, and the rankers that score them. Knows features and the state's records."""
