"""Tensors, signatures and status codes, without importing TensorFlow if possible."""
