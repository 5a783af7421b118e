"""Sends the code of user modules to remote workers, which cannot import these modules."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from apache_beam.internal.cloudpickle import cloudpickle

from prodml.dsl.loaded_modules import LOADED


@contextlib.contextmanager
def user_modules_by_value() -> Iterator[None]:
    """Makes Beam pickle what loaded user modules define by value instead of by name.

    That includes modules that they have imported at their top. A module that is imported when a
    function is called is not included: a worker must have it installed.
    """
    modules = [sys.modules[name] for name in LOADED.names()]
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)
