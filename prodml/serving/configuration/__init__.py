"""The configuration of a model server: options, config files and checks of their paths."""
