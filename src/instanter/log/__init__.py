"""The log: append, sync, read, retention. An entry that was acknowledged is on disk."""
