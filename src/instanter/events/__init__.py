"""What people and systems tell us: decoded through one door, validated, enriched, or rejected with a reason."""
