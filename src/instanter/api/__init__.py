"""HTTP: bodies in, replies out, errors as the contract says. No business logic."""
