"""Pusher: publishes a blessed model as a version that a model server loads."""
