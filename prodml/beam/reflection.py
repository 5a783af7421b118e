"""Private parts of Beam that the local runner reads, and one that it replaces.

The replacement makes Beam read the signatures of a DoFn's methods once, not at every use.
"""

from __future__ import annotations

import functools
import logging
import types
import weakref
from typing import Any

TESTED_BEAM = "2.72.0"
"""The version whose private parts are known; `pyproject.toml` pins the same."""

_LOGGER = logging.getLogger(__name__)


@functools.cache
def is_tested_beam() -> bool:
    """Whether Beam has the tested version; logs one warning if not."""
    import apache_beam

    found = apache_beam.__version__
    if found != TESTED_BEAM:
        _LOGGER.warning(
            "Apache Beam is %s, and prodml's local runner is tested with %s: Beam's FnApiRunner"
            " runs all pipelines, which is slower. Install apache-beam==%s for the local runner.",
            found,
            TESTED_BEAM,
            TESTED_BEAM,
        )
    return bool(found == TESTED_BEAM)


def root_of(pipeline: Any) -> Any:
    """The applied transform that contains all others of a pipeline."""
    return pipeline._root_transform()


def uses_state_or_splitting(par_do: Any) -> bool:
    """Whether a ParDo's DoFn has state or timers, or is splittable."""
    signature = par_do._signature
    return bool(signature.is_splittable_dofn() or signature.is_stateful_dofn())


def uses_batches(par_do: Any) -> bool:
    """Whether a ParDo's DoFn takes or yields batches of elements."""
    function = par_do.dofn
    return bool(function._process_batch_defined or function._can_yield_batches)


def view_options(view: Any) -> Any:
    """The options of a side input's view: window mapping, coder and default value."""
    return view._view_options()


def cache_signatures() -> None:
    """Makes Beam in this process cache the arguments of a class's methods.

    Beam 2.72 inspects all eight methods of a DoFn each time it checks whether the DoFn is stateful,
    some 4,000 times in a Transform: 1.8 of its 7.8 s of CPU time on 15,000 flights. A method of a
    class has the same arguments in every instance, so they are cached by class, and so are the
    DoFn's states and timers. Methods that an instance describes or replaces are inspected each
    time.
    """
    from apache_beam.transforms import core, userstate

    if isinstance(core.get_function_arguments, _CachedArguments):
        return
    core.get_function_arguments = _CachedArguments(core.get_function_arguments)
    userstate.get_dofn_specs = _CachedSpecs(userstate.get_dofn_specs)


class _CachedArguments:
    def __init__(self, read: Any) -> None:
        self._read = read
        # Weak references, because classes that Beam unpickles by value are short-lived.
        self._by_class: weakref.WeakKeyDictionary[type, dict[str, Any]] = (
            weakref.WeakKeyDictionary()
        )

    def __call__(self, instance: Any, method: str) -> tuple[list[str], list[Any]]:
        if hasattr(instance, f"_inspect_{method}") or method in getattr(instance, "__dict__", ()):
            names, defaults = self._read(instance, method)
            return names, defaults
        known = self._by_class.setdefault(type(instance), {})
        if method not in known:
            known[method] = self._read(instance, method)
        names, defaults = known[method]
        return list(names), list(defaults)


class _CachedSpecs:
    """Caches the states and timers of a DoFn, which are arguments of its class's methods."""

    def __init__(self, read: Any) -> None:
        self._read = read
        self._by_class: weakref.WeakKeyDictionary[type, dict[frozenset[str], Any]] = (
            weakref.WeakKeyDictionary()
        )

    def __call__(self, instance: Any) -> tuple[set[Any], set[Any]]:
        own = getattr(instance, "__dict__", {})
        if any(isinstance(value, types.MethodType) for value in own.values()):
            states, timers = self._read(instance)
            return states, timers
        # Beam ignores the arguments of an attribute that replaces a method but is not a method.
        replaced = frozenset(name for name in own if hasattr(type(instance), name))
        known = self._by_class.setdefault(type(instance), {})
        if replaced not in known:
            known[replaced] = self._read(instance)
        states, timers = known[replaced]
        return set(states), set(timers)
