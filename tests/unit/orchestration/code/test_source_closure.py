import os
from pathlib import Path

from prodml.dsl.module_search import file_by_path
from prodml.orchestration.code.source_closure import SourceClosure, source_closure


def project(root: Path) -> Path:
    (root / "package").mkdir(parents=True)
    (root / "package" / "__init__.py").write_text("")
    (root / "package" / "deep.py").write_text("from . import sibling\n")
    (root / "package" / "sibling.py").write_text("X = 1\n")
    (root / "helper.py").write_text("import package.deep\nimport numpy as np\nimport json\n")
    (root / "unused.py").write_text("")
    (root / "module.py").write_text("def run_fn(args):\n    import helper\n    return helper\n")
    return root / "module.py"


def closure(path: Path) -> SourceClosure:
    return source_closure(file_by_path(str(path)))


def labels(path: Path) -> list[str]:
    return [file.module.label for file in closure(path).files]


def digests(path: Path) -> dict[str, str]:
    return {file.module.label: file.digest for file in closure(path).files}


def test_local_imports_are_followed_also_inside_functions(tmp_path: Path) -> None:
    module = project(tmp_path)
    assert labels(module) == [
        "helper.py",
        "module.py",
        "package/__init__.py",
        "package/deep.py",
        "package/sibling.py",
    ]


def test_libraries_count_by_version_and_the_standard_library_does_not(tmp_path: Path) -> None:
    versions = dict(closure(project(tmp_path)).versions)
    assert versions["numpy"].startswith("1.")
    assert "json" not in versions


def test_a_changed_line_in_a_helpers_helper_changes_the_digest(tmp_path: Path) -> None:
    module = project(tmp_path)
    before = digests(module)
    (tmp_path / "package" / "sibling.py").write_text("X = 2\n")
    assert digests(module) != before


def test_a_touched_file_and_an_unused_one_do_not(tmp_path: Path) -> None:
    module = project(tmp_path)
    before = digests(module)
    os.utime(module, (1, 1))
    (tmp_path / "unused.py").write_text("Y = 3\n")
    assert digests(module) == before


def test_the_place_of_the_project_does_not_count(tmp_path: Path) -> None:
    here, there = project(tmp_path / "here"), project(tmp_path / "there")
    assert digests(here) == digests(there)


def test_a_file_that_does_not_parse_counts_by_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def (")
    assert labels(tmp_path / "broken.py") == ["broken.py"]


def test_an_import_cycle_ends(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import b\n")
    (tmp_path / "b.py").write_text("import a\n")
    assert labels(tmp_path / "a.py") == ["a.py", "b.py"]
