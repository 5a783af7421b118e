"""ExampleValidator: statistics held against the schema."""
