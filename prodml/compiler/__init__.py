"""DSL objects to PipelineSpec."""
