"""Lineage: the only place that imports ml_metadata."""

import os

# Its C++ code writes every refused query to standard error, where errors are told already. Read
# when the library is loaded.
os.environ.setdefault("GLOG_minloglevel", "3")
