"""Takes up what runs left whose process died."""
