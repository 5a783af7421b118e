"""Calls of models, whatever front end they come by: admission, batching, execution, inference."""
