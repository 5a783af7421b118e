"""Resolver: finds artifacts of earlier runs."""
