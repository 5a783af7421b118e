"""The REST front end, and JSON as TF Serving reads and writes it."""
