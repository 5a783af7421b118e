"""TFMA's metrics computed over whole batches of rows."""
