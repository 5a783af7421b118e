"""Canary, promotion and rollback by version labels."""
