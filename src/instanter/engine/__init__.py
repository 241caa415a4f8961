"""The way of the data, in order: admit, append, sync, fold, decide. The only room that knows it."""
