"""Files on local disks and in object stores: paths, and every URL that fsspec supports."""
