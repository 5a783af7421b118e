"""The metrics and request logs of a model server."""
