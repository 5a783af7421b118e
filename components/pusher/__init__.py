"""Pusher: a blessed model becomes a version that a model server loads."""
