"""Tensors, signatures and status codes, without TensorFlow where that is possible."""
