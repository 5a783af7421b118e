"""Restricts user code to the directories in the configuration's `module_roots`."""

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
    """Rejects a Python file outside of all roots, or with imports from its directory that are.

    Files are found by reading import statements; nothing is imported. The real path counts: a
    symbolic link in a root that leads out of it is rejected. If there are no roots, everything is
    allowed.

    Args:
        roots: directories.
        file: the Python file; if it does not exist, its loader reports that.
        what: describes the file in the message.

    Raises:
        RequestError: a file is outside of all roots.
    """
    if roots and os.path.isfile(file):
        start = file_by_path(file)
        _require(roots, start, source_closure(start), what)


def require_modules_inside(roots: Sequence[str], spec: PipelineSpec) -> None:
    """Like `require_inside`, for all user code that a pipeline's nodes name.

    Raises:
        RequestError: a file that a node names, or that is imported by it, is outside of all roots.
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
        # The whole file, not only the part that the component needs: loading it runs everything.
        for file in component_files(node):
            if references.is_path(node.component):
                _require(roots, file, source_closure(file), f"{node.id}: component")
            else:
                _require_own(roots, spec, file, f"{node.id}: component")


def _require_own(roots: Sequence[str], spec: PipelineSpec, start: ModuleFile, what: str) -> None:
    """Checks a module if it is imported from the directory of the pipeline's file.

    Modules on PYTHONPATH and installed modules are trusted, because the user who runs prodml chose
    them.
    """
    if start.origin is Origin.USER and start.root == spec.import_roots[0]:
        _require(roots, start, source_closure(start), what)


def _require(roots: Sequence[str], start: ModuleFile, closure: SourceClosure, what: str) -> None:
    """Rejects files outside of all roots, if they are imported from the directory of `start`."""
    for file in sorted(closure.files, key=lambda file: file.module != start):
        path = os.path.realpath(file.module.path)
        if file.module.root == start.root and not inside_any(roots, path):
            by = "" if file.module == start else f", imported by {start.path},"
            raise RequestError(
                f"{what} {path}{by} is outside of module_roots ({', '.join(roots)}); move it "
                f"there, or add its directory to module_roots"
            )
