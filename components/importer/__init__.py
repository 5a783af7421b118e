"""Importer: records existing directories as artifacts."""
