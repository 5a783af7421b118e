"""Files here and in object stores: plain paths, and any URL that fsspec knows."""
