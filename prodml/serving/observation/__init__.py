"""What a model server counts and records."""
