"""InfraValidator: a model answers in a real server before it is pushed."""
