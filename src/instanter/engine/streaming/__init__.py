"""What happens, told as it happens: entries derived from the log and the quarantine, for readers who stay."""
