"""Runs nodes: decides, attempts, retries, records; in this process, another one or on Beam."""
