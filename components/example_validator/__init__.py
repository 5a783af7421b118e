"""ExampleValidator: validates statistics against the schema."""
