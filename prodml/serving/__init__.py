"""The TF Serving API."""
