"""SchemaGen: a first schema, inferred from statistics."""
