"""Several processes over one data directory: one writes its log, the others follow it and decide."""
