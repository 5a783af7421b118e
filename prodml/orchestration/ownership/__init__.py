"""Leases of pipelines, the liveness of their holders, and the owner of a pipeline root."""
