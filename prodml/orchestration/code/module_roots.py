"""Keeps users' code to the directories that the configuration allows."""

from __future__ import annotations

import os
from collections.abc import Sequence

from prodml.compiler.spec import PipelineSpec
from prodml.dsl import references
from prodml.dsl.module_search import ModuleFile, Origin, file_by_path
from prodml.dsl.parameters import Watched
from prodml.errors import RequestError
from prodml.orchestration.code.executor_code import component_files
from prodml.orchestration.code.source_closure import SourceClosure, source_closure
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
    if roots and os.path.isfile(file):
        start = file_by_path(file)
        _require(roots, start, source_closure(start), what)


def require_modules_inside(roots: Sequence[str], spec: PipelineSpec) -> None:
    """The same for all user code that a pipeline's nodes name.

    Raises:
        RequestError: some of it, or what it imports, lies outside.
    """
    if not roots:
        return
    for node in spec.nodes:
        for parameter in node.parameters:
            for at, path in parameter.texts(Watched.MODULE):
                require_inside(roots, path, f"{node.id}: {parameter.name}{at}")
            for at, name in parameter.texts(Watched.FUNCTION):
                function = references.file_of_function(name)
                _require_own(roots, spec, function, f"{node.id}: {parameter.name}{at}")
        # All of the file and not what the component needs of it: loading it runs all.
        for file in component_files(node):
            if references.is_path(node.component):
                _require(roots, file, source_closure(file), f"{node.id}: component")
            else:
                _require_own(roots, spec, file, f"{node.id}: component")


def _require_own(roots: Sequence[str], spec: PipelineSpec, start: ModuleFile, what: str) -> None:
    """Checks a module if it is imported from where the pipeline's file is.

    What comes from PYTHONPATH or an installation was put there by whoever runs prodml.
    """
    if start.origin is Origin.USER and start.root == spec.import_roots[0]:
        _require(roots, start, source_closure(start), what)


def _require(roots: Sequence[str], start: ModuleFile, closure: SourceClosure, what: str) -> None:
    """Refuses files outside of all roots, if they are found from where `start` is."""
    for file in sorted(closure.files, key=lambda file: file.module != start):
        path = os.path.realpath(file.module.path)
        if file.module.root == start.root and not inside_any(roots, path):
            by = "" if file.module == start else f", imported by {start.path},"
            raise RequestError(
                f"{what} {path}{by} lies outside of module_roots ({', '.join(roots)}); move it "
                f"there, or name its directory in module_roots"
            )
