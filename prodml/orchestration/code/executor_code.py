"""Defines what the code of a node is, for the cache and for `module_roots`.

| a component                  | its code                                                         |
|------------------------------|------------------------------------------------------------------|
| a class                      | the class, the `executor.py` and the `driver.py` beside its file |
| a function with `@component` | the function                                                     |
| either, with user modules    | the file or function that the parameter names                    |

The code includes all of its dependencies: for files, the closure of their imports; for classes and
functions, the names that they use (`reached_definitions.py`). A component that ships with prodml
counts by whole files. A file is identified by its path relative to the directory that it is
imported from, so the result is the same in every checkout and in an installed wheel.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from prodml.compiler.spec import NodeSpec
from prodml.dsl import references
from prodml.dsl.module_search import ModuleFile, ModuleFinder, Origin, file_by_path
from prodml.dsl.parameters import Watched
from prodml.errors import UserCodeError
from prodml.orchestration.code.reached_definitions import definition
from prodml.orchestration.code.source_closure import SourceClosure, SourceFile, source_closure


@dataclass(frozen=True)
class NodeCode:
    """The code of a node.

    Attributes:
        component: the component's name, without the location of its project.
        executor: the code that executes the node, and the component's declaration.
        modules: the code that a parameter names, by parameter name (with a JSON pointer if the
            value is not a string).
    """

    component: str
    executor: SourceClosure
    modules: Mapping[str, SourceClosure]


def node_code(node: NodeSpec) -> NodeCode:
    """The code of a node as it is on disk now; nothing is imported.

    Raises:
        UserCodeError: a file that the node names does not exist.
    """
    own = references.source_file(node.component)
    name = node.component.rpartition(":")[2]
    modules = {
        f"{parameter.name}{at}": file_by_path(existing_file(node, parameter.name, path))
        for parameter in node.parameters
        for at, path in parameter.texts(Watched.MODULE)
    }
    functions = {
        f"{parameter.name}{at}": _file_of_function(node, path)
        for parameter in node.parameters
        for at, path in parameter.texts(Watched.FUNCTION)
    }
    closures = {key: source_closure(file) for key, file in {**modules, **functions}.items()}
    return NodeCode(f"{own.label}:{name}", _executor(node, own, name), closures)


def component_files(node: NodeSpec) -> list[ModuleFile]:
    """The file of a node's component and, for a class, the `executor.py` and `driver.py` beside it.

    Raises:
        UserCodeError: the component's file or module does not exist.
    """
    files = [references.source_file(node.component)]
    if not node.is_function:
        neighbours = (
            references.neighbour_file(node.component, each) for each in ("executor", "driver")
        )
        files += [file for file in neighbours if file is not None]
    return files


def existing_file(node: NodeSpec, name: str, path: str) -> str:
    """Returns the path in a parameter if it is an existing file.

    Raises:
        UserCodeError: the file does not exist.
    """
    if not os.path.isfile(path):
        raise UserCodeError(f"{name}={path!r} does not exist (declared at {node.location})")
    return path


def _file_of_function(node: NodeSpec, dotted: str) -> ModuleFile:
    try:
        return references.file_of_function(dotted)
    except ValueError as error:
        raise UserCodeError(f"{error} (declared at {node.location})") from None


def _executor(node: NodeSpec, own: ModuleFile, name: str) -> SourceClosure:
    is_users = own.origin is Origin.USER
    part = _definition_closure(own, name.partition(".")[0]) if is_users else source_closure(own)
    return _merged([part, *map(source_closure, component_files(node)[1:])])


def _definition_closure(module: ModuleFile, name: str) -> SourceClosure:
    """The closure of one function or class of a file."""
    finder = ModuleFinder([module.root])

    def is_foreign(imported: str) -> bool:
        top = imported.partition(".")[0]
        # A module that is not found now may be found later, on a path that the file itself adds.
        return finder.origin(top) not in (Origin.USER, None) or top in sys.builtin_module_names

    with open(module.path, "rb") as file:
        found = definition(file.read(), name, is_foreign)
    if found is None:
        return source_closure(module)
    imported = source_closure(module, found.imports)
    part = SourceFile(module, found.digest)
    # If an imported module imports the file itself, the whole file counts.
    files = imported.files if part.module.label in _labels(imported) else (part, *imported.files)
    return SourceClosure(files, imported.versions)


def _labels(closure: SourceClosure) -> set[str]:
    return {file.module.label for file in closure.files}


def _merged(closures: Iterable[SourceClosure]) -> SourceClosure:
    files = {(file.module.label, file.digest): file for each in closures for file in each.files}
    versions = {version for each in closures for version in each.versions}
    return SourceClosure(tuple(files[key] for key in sorted(files)), tuple(sorted(versions)))
