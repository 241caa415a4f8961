"""The only door to time, chance and disk; limits and errors. Nothing of ours lies below it."""
