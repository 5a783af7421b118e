"""Lineage in ML Metadata: the only package that imports ml_metadata."""

import os

# The library's C++ code writes each failed query to standard error, although prodml reports the
# error. The variable is read when the library is loaded.
os.environ.setdefault("GLOG_minloglevel", "3")
