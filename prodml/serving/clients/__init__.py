"""Clients of model servers, ours and TensorFlow's alike."""
