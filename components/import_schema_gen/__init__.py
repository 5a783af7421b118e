"""ImportSchemaGen: a curated schema file becomes an artifact."""
