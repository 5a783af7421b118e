"""Clients for model servers: prodml's and TF Serving."""
