"""Which changes of a project change the keys of which components: the rest must stay cached.

Every kind of component in every layout is one node of a pipeline. Each case changes one thing and
names the nodes that must run again; all others must be found in the cache.
"""

import os
import shutil
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from prodml.compiler.spec import PipelineSpec, to_json
from prodml.orchestration.code.pipeline_file import load_spec
from prodml.orchestration.resolve.fingerprint import Parts, fingerprint

PROJECT = {
    "pipeline_file.py": """
        import logging
        from prodml import Component, Output, Parameter, component, pipeline
        from prodml.artifacts import Artifact
        from prodml.dsl.parameters import FilePath, FunctionPath, ModulePath
        import only_the_pipeline
        from flat_file import FlatFile
        from folder.component import Folder
        from shared.scaling import scale
        from shared.texts import Text
        from steps.counting.component import Package
        from steps.functions import PackageFunction

        FACTOR = 2
        UNUSED = 3

        def helper():
            return scale(FACTOR)

        def unused_helper():
            return UNUSED

        @component
        def FileFunction(made: Output[Text]):
            helper()

        @component
        def OtherFunction(made: Output[Text]):
            pass

        class FileClass(Component):
            made: Output[Text]

        class UsesModules(Component):
            module_file: Parameter[ModulePath] = "module.py"
            run_fn: Parameter[FunctionPath] = "shared.training.run_fn"
            files: Parameter[list[FilePath]] = ("one.txt", "two.txt")
            made: Output[Text]

        @pipeline(name="table")
        def table():
            only_the_pipeline.settings()
            FileFunction(), OtherFunction(), FileClass(), FlatFile(), Folder()
            Package(), PackageFunction(), UsesModules()
        """,
    "only_the_pipeline.py": "def settings(): return 1",
    "flat_file.py": """
        from prodml import Component, Output
        from shared.texts import Text
        class FlatFile(Component):
            made: Output[Text]
        """,
    # Of all classes in files beside it: FileClass, FlatFile and UsesModules.
    "executor.py": """
        import flat_helper
        def execute(context): flat_helper.work()
        """,
    "driver.py": "def resolve(parameters): raise NotImplementedError",
    "flat_helper.py": "def work(): return 1",
    "folder/component.py": """
        from prodml import Component, Output
        from shared.texts import Text
        class Folder(Component):
            made: Output[Text]
        """,
    "folder/executor.py": """
        from shared.scaling import scale
        from .local import work
        def execute(context): work()
        """,
    "folder/local.py": "def work(): return 1",
    "steps/__init__.py": "",
    "steps/functions.py": """
        from prodml import Output, component
        from shared.texts import Text
        def step(): return 1
        def other_step(): return 1
        @component
        def PackageFunction(made: Output[Text]): step()
        """,
    "steps/counting/__init__.py": "",
    "steps/counting/component.py": """
        from prodml import Component, Output
        from shared.texts import Text
        class Package(Component):
            made: Output[Text]
        """,
    "steps/counting/executor.py": """
        from . import features
        import model.utils as rates
        def execute(context):
            import company
        """,
    "steps/counting/driver.py": "def resolve(parameters): raise NotImplementedError",
    "steps/counting/features.py": """
        try:
            from feat.utils import rate
        except ImportError:
            rate = 1
        """,
    "feat/utils.py": "rate = 1",
    "model/utils.py": "rate = 2",
    "shared/scaling.py": "from shared import limits\ndef scale(x): return x",
    "shared/limits.py": "LIMIT = 1",
    "shared/texts.py": """
        from prodml.artifacts import Artifact
        class Text(Artifact):
            type_name = "TableText"
            def words(self): return 1
        """,
    "shared/training.py": "from shared import limits\ndef run_fn(fn_args): return 1",
    "module.py": "import module_helper\ndef preprocessing_fn(inputs): return inputs",
    "module_helper.py": "X = 1",
    "one.txt": "one",
    "two.txt": "two",
    "unrelated.py": "X = 1",
}
LIBRARY = {"company.py": "X = 1"}
"""Outside of the project, on PYTHONPATH."""

FLAT = {"FileClass", "FlatFile", "UsesModules"}
EVERY = {*FLAT, "FileFunction", "OtherFunction", "Folder", "Package", "PackageFunction"}
CHANGES: dict[str, tuple[str, str, str, set[str]]] = {
    "a function's body": ("pipeline_file.py", "    helper()\n", "    helper()+1\n",
        {"FileFunction"}),
    "its helper": ("pipeline_file.py", "scale(FACTOR)", "scale(-FACTOR)", {"FileFunction"}),
    "its helper's constant": ("pipeline_file.py", "FACTOR = 2", "FACTOR = 4", {"FileFunction"}),
    "another function": ("pipeline_file.py", "    pass\n", "    print()\n", {"OtherFunction"}),
    "a helper that nothing uses": ("pipeline_file.py", "UNUSED = 3", "UNUSED = 4", set()),
    "a module that only the pipeline uses": ("only_the_pipeline.py", "1", "2", set()),
    "the pipeline's own function": ("pipeline_file.py", "Folder()", "Folder() # ...", set()),
    "a statement that acts": ("pipeline_file.py", "UNUSED = 3", "logging.basicConfig()",
        {"FileFunction", "OtherFunction", "FileClass", "UsesModules"}),
    "an import for its effect": ("pipeline_file.py", "UNUSED = 3", "import unrelated",
        {"FileFunction", "OtherFunction", "FileClass", "UsesModules"}),
    "a class in the pipeline's file": ("pipeline_file.py", "class FileClass(Component):\n",
        "class FileClass(Component):\n    limit = 1\n", {"FileClass"}),
    "a class in a file beside": ("flat_file.py", "class FlatFile(Component):\n",
        "class FlatFile(Component):\n    limit = 1\n", {"FlatFile"}),
    "executor.py beside files": ("executor.py", "work()", "work() or 1", FLAT),
    "driver.py beside files": ("driver.py", "raise", "raise ", FLAT),
    "what executor.py beside files imports": ("flat_helper.py", "1", "2", FLAT),
    "executor.py in a folder": ("folder/executor.py", "work()", "work() or 1", {"Folder"}),
    "what it imports relatively": ("folder/local.py", "1", "2", {"Folder"}),
    "a class in a package": ("steps/counting/component.py", "made:", "made :", {"Package"}),
    "executor.py in a package": ("steps/counting/executor.py", "pany", "pany ", {"Package"}),
    "driver.py in a package": ("steps/counting/driver.py", "raise", "raise ", {"Package"}),
    "the package": ("steps/counting/__init__.py", "", "X = 1", {"Package"}),
    "the package around it": ("steps/__init__.py", "", "X = 1", {"Package", "PackageFunction"}),
    "a namesake, imported as x.y": ("feat/utils.py", "1", "3", {"Package"}),
    "another, imported as x.y as z": ("model/utils.py", "2", "3", {"Package"}),
    "a function in a package": ("steps/functions.py", "def step(): return 1",
        "def step(): return 2", {"PackageFunction"}),
    "another function beside it": ("steps/functions.py", "other_step(): return 1",
        "other_step(): return 2", set()),
    "what a helper imports": ("shared/limits.py", "1", "2",
        {"FileFunction", "Folder", "UsesModules"}),
    "an artifact type's method": ("shared/texts.py", "return 1", "return 2", EVERY),
    "a module that a parameter names": ("module.py", "return", "return ", {"UsesModules"}),
    "what that imports": ("module_helper.py", "1", "2", {"UsesModules"}),
    "a function that a parameter names": ("shared/training.py", "1", "2", {"UsesModules"}),
    "one of a list of files": ("two.txt", "two", "2", {"UsesModules"}),
    "a module that nothing imports": ("unrelated.py", "1", "2", set()),
}  # fmt: skip


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(textwrap.dedent(text))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(sys, "path", sys.path.copy())
    write(tmp_path / "library", LIBRARY)
    monkeypatch.syspath_prepend(tmp_path / "library")
    write(tmp_path / "project", PROJECT)
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def compiled(project: Path) -> PipelineSpec:
    return load_spec(str(project / "pipeline_file.py"), {}, module_roots=[])


def keys(project: Path) -> dict[str, str]:
    spec = compiled(project)
    return {node.id: fingerprint(spec.name, node, {}, None, frozenset()).key for node in spec.nodes}


def parts(project: Path, node: str) -> Parts:
    spec = compiled(project)
    return fingerprint(spec.name, spec.node(node), {}, None, frozenset()).parts


def changed_after(project: Path, change: str) -> set[str]:
    file, old, new, _ = CHANGES[change]
    before = keys(project)
    text = (project / file).read_text()
    assert old in text
    (project / file).write_text(text.replace(old, new, 1))
    after = keys(project)
    return {node for node in EVERY if before[node] != after[node]}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_reruns_the_nodes_that_depend_on_it_and_no_others(
    project: Path, change: str
) -> None:
    assert changed_after(project, change) == CHANGES[change][3]


def test_namesakes_are_told_apart_when_their_contents_are_swapped(project: Path) -> None:
    before = keys(project)
    (project / "feat/utils.py").write_text(PROJECT["model/utils.py"])
    (project / "model/utils.py").write_text(PROJECT["feat/utils.py"])
    assert {node for node, key in keys(project).items() if key != before[node]} == {"Package"}


def test_a_library_on_the_path_counts_by_content(project: Path) -> None:
    before = keys(project)
    (project.parent / "library" / "company.py").write_text("X = 2")
    assert {node for node, key in keys(project).items() if key != before[node]} == {"Package"}


@pytest.mark.parametrize("place", ["elsewhere", "with spaces", "a//b/../c"])
def test_another_checkout_has_the_same_keys_and_the_same_spec(
    project: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, text = keys(project), to_json(compiled(project))
    other = project.parent / place
    shutil.copytree(project, other)
    monkeypatch.chdir(other)
    assert keys(other) == before
    assert to_json(compiled(other)) == text
    assert str(project.parent) not in text


def test_a_linked_project_has_the_same_keys(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys(project)
    link = project.parent / "link"
    link.symlink_to(project)
    monkeypatch.chdir(link)
    assert keys(link) == before


def test_a_touched_file_changes_no_key(project: Path) -> None:
    before = keys(project)
    for file in project.rglob("*.py"):
        os.utime(file, (1, 1))
    assert keys(project) == before


def test_the_version_of_an_installed_library_is_a_part(project: Path) -> None:
    (project / "module_helper.py").write_text("import numpy\nfrom google.protobuf import message\n")
    library = parts(project, "UsesModules")["library"]
    assert library["numpy"].startswith("1.")
    assert library["protobuf"].startswith("4.")


def test_syntax_errors_and_import_cycles_do_not_stop_the_search(project: Path) -> None:
    (project / "module_helper.py").write_text("import module\nimport broken\n")
    (project / "broken.py").write_text("def (\n")
    labels = {name.partition(" ")[2] for name in parts(project, "UsesModules")["module"]}
    assert {"module.py", "module_helper.py", "broken.py"} <= labels
