"""Compiles DSL objects into a PipelineSpec."""
