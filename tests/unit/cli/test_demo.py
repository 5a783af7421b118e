"""`prodml demo` creates a project, and never overwrites files."""

import tomllib
from pathlib import Path

import pytest

from prodml.cli.demo import demo, make_project
from prodml.errors import RequestError
from prodml.orchestration.code.pipeline_file import load_spec


def test_the_project_compiles_and_has_the_overrides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "my project"
    make_project(str(project))
    monkeypatch.chdir(project)
    spec = load_spec("pipelines/flights.py", {"data_root": "data"}, module_roots=[str(project)])
    assert spec.name == "flights"
    assert spec.project == str(project)
    written = tomllib.loads((project / "pyproject.toml").read_text())
    assert written["project"]["dependencies"] == ["prodml[examples]"]
    assert "ipython; sys_platform == 'never'" in written["tool"]["uv"]["override-dependencies"]


def test_a_directory_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(RequestError, match="is not empty; choose another directory, or run"):
        demo(str(tmp_path))
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_without_its_data_the_error_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RequestError, match=r"uv pip install 'prodml\[examples\]'"):
        demo(str(tmp_path / "new"))
    assert not (tmp_path / "new").exists()
