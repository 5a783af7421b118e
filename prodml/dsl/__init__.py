"""What an author writes: components, channels, pipelines."""
