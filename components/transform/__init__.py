"""Transform: a user's preprocessing_fn becomes a graph, and is applied to the examples."""
