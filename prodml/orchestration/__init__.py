"""Plan and launch a PipelineSpec."""
