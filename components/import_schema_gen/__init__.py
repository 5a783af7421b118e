"""ImportSchemaGen: imports a curated schema file as an artifact."""
