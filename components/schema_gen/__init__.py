"""SchemaGen: infers a first schema from statistics."""
