"""Computes TFMA's metrics on whole batches of rows."""
