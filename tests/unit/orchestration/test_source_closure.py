import os
from pathlib import Path

from prodml.orchestration.source_closure import source_closure


def project(root: Path) -> Path:
    (root / "package").mkdir(parents=True)
    (root / "package" / "__init__.py").write_text("")
    (root / "package" / "deep.py").write_text("from . import sibling\n")
    (root / "package" / "sibling.py").write_text("X = 1\n")
    (root / "helper.py").write_text("import package.deep\nimport numpy as np\nimport json\n")
    (root / "unused.py").write_text("")
    (root / "module.py").write_text("def run_fn(args):\n    import helper\n    return helper\n")
    return root / "module.py"


def names(path: Path) -> list[str]:
    return sorted(os.path.basename(file) for file, _ in source_closure(str(path)).files)


def test_local_imports_are_followed_also_inside_functions(tmp_path: Path) -> None:
    module = project(tmp_path)
    assert names(module) == ["__init__.py", "deep.py", "helper.py", "module.py", "sibling.py"]


def test_libraries_count_by_version_and_the_standard_library_does_not(tmp_path: Path) -> None:
    versions = dict(source_closure(str(project(tmp_path))).versions)
    assert versions["numpy"].startswith("1.")
    assert "json" not in versions


def test_a_changed_line_in_a_helpers_helper_changes_the_digest(tmp_path: Path) -> None:
    module = project(tmp_path)
    before = source_closure(str(module)).digest
    (tmp_path / "package" / "sibling.py").write_text("X = 2\n")
    assert source_closure(str(module)).digest != before


def test_a_touched_file_and_an_unused_one_do_not(tmp_path: Path) -> None:
    module = project(tmp_path)
    before = source_closure(str(module)).digest
    os.utime(module, (1, 1))
    (tmp_path / "unused.py").write_text("Y = 3\n")
    assert source_closure(str(module)).digest == before


def test_the_place_of_the_project_does_not_count(tmp_path: Path) -> None:
    here, there = project(tmp_path / "here"), project(tmp_path / "there")
    assert source_closure(str(here)).digest == source_closure(str(there)).digest


def test_a_file_that_does_not_parse_counts_by_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def (")
    assert names(tmp_path / "broken.py") == ["broken.py"]


def test_an_import_cycle_ends(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import b\n")
    (tmp_path / "b.py").write_text("import a\n")
    assert names(tmp_path / "a.py") == ["a.py", "b.py"]
