"""Keeps users' code to the directories that the configuration allows."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from prodml.compiler.spec import PipelineSpec
from prodml.errors import RequestError
from prodml.orchestration.source_closure import source_closure
from prodml.paths import inside_any


def require_inside(roots: Sequence[str], file: str, what: str) -> None:
    """Refuses a Python file, or one that it imports from beside it, outside of all roots.

    Files are found by reading import statements; nothing is imported. Where a path really leads
    counts: a link in a root that leads out of it is refused. Without roots everything is allowed.

    Args:
        roots: directories.
        file: the Python file; one that does not exist is left for its loader to tell.
        what: what it is, for the message.

    Raises:
        RequestError: a file lies outside.
    """
    if not roots or not os.path.isfile(file):
        return
    itself = os.path.realpath(file)
    for path in (itself, *(path for path, _ in source_closure(file).files)):
        if not inside_any(roots, path):
            by = "" if path == itself else f", imported by {file},"
            raise RequestError(
                f"{what} {path}{by} lies outside of module_roots ({', '.join(roots)}); move it "
                f"there, or name its directory in module_roots"
            )


def require_modules_inside(roots: Sequence[str], spec: PipelineSpec) -> None:
    """The same for every module and component file that a pipeline names.

    Raises:
        RequestError: one of them, or what it imports, lies outside.
    """
    for what, file in _files(spec):
        require_inside(roots, file, what)


def _files(spec: PipelineSpec) -> Iterator[tuple[str, str]]:
    for node in spec.nodes:
        for parameter in node.parameters:
            if parameter.watched == "module" and isinstance(parameter.value, str):
                yield f"{node.id}: {parameter.name}", parameter.value
        file, _, _ = node.component.rpartition(":")
        if file.endswith(".py"):
            for name in (os.path.basename(file), "executor.py", "driver.py"):
                yield f"{node.id}: component", os.path.join(os.path.dirname(file), name)
