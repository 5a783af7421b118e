"""Which code a node depends on, read from its source without running it."""
