"""What the code of a node is: the one answer that the cache and `module_roots` go by.

| a component                  | its code                                                         |
|------------------------------|------------------------------------------------------------------|
| a class                      | the class, the `executor.py` and the `driver.py` beside its file |
| a function with `@component` | the function                                                     |
| either, with user modules    | the file or function that the parameter names                    |

With each goes all that it depends on: files by the closure of their imports, classes and functions
by what they name (`reached_definitions.py`). A component that ships with prodml counts by whole
files. Files are known by their path under the directory that they are imported from, so the answer
is the same in every checkout, and from an installed wheel.
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
        component: the component's name, without the place of its project.
        executor: what does the work, and what declares it.
        modules: by parameter (with a JSON pointer if its value is no text), what it names.
    """

    component: str
    executor: SourceClosure
    modules: Mapping[str, SourceClosure]


def node_code(node: NodeSpec) -> NodeCode:
    """The code of a node as it is on the disk now; nothing is imported.

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
    """The file of a node's component, and the `executor.py` and `driver.py` of a class beside it.

    Raises:
        UserCodeError: the component's file or module is gone.
    """
    files = [references.source_file(node.component)]
    if not node.is_function:
        beside = (
            references.neighbour_file(node.component, each) for each in ("executor", "driver")
        )
        files += [file for file in beside if file is not None]
    return files


def existing_file(node: NodeSpec, name: str, path: str) -> str:
    """The path that a parameter gives.

    Raises:
        UserCodeError: there is no such file.
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
        # What cannot be found may be found later, by a path that the file adds itself.
        return finder.origin(top) not in (Origin.USER, None) or top in sys.builtin_module_names

    with open(module.path, "rb") as file:
        found = definition(file.read(), name, is_foreign)
    if found is None:
        return source_closure(module)
    behind = source_closure(module, found.imports)
    part = SourceFile(module, found.digest)
    # If what it imports imports the file itself, all of it counts.
    files = behind.files if part.module.label in _labels(behind) else (part, *behind.files)
    return SourceClosure(files, behind.versions)


def _labels(closure: SourceClosure) -> set[str]:
    return {file.module.label for file in closure.files}


def _merged(closures: Iterable[SourceClosure]) -> SourceClosure:
    files = {(file.module.label, file.digest): file for each in closures for file in each.files}
    versions = {version for each in closures for version in each.versions}
    return SourceClosure(tuple(files[key] for key in sorted(files)), tuple(sorted(versions)))
