"""What a model server is told: options, config files, and where they may point."""
