"""Who holds a pipeline, whether the holder is alive, and whose a pipeline root is."""
