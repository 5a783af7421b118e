"""Starts and watches model servers in separate processes."""
