"""InfraValidator: checks that a model can be served by a real server before it is pushed."""
