"""Transform: traces a user's preprocessing_fn and transforms the examples with it."""
