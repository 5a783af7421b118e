"""The authoring API: components, channels, conditions, pipelines."""
