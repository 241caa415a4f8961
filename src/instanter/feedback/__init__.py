"""Outcomes joined to what was shown, by events alone. Knows nothing of features, models or decisions."""
