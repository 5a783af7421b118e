"""Child processes that are watched, and ended together with all their own children."""
