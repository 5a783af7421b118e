"""Paths in a project are written so that they are the same in every checkout."""

from pathlib import Path

import pytest
from hypothesis import given
from support.strategies import json_values

from prodml.compiler.project import absolute_paths, project_of, relative_paths


@given(json_values)
def test_relative_paths_round_trip(value: object) -> None:
    assert absolute_paths(relative_paths(value, "/project"), "/project") == value


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("/project", "${project}"),
        ("/project/a/b.py:Class", "${project}/a/b.py:Class"),
        ("/project//a.b:Class", "${project}//a.b:Class"),
        ("/projects/a", "/projects/a"),
        ("data/flights", "data/flights"),
        ("${project}/a", "$${project}/a"),
        ("$${project}", "$$${project}"),
        ("${projects}", "${projects}"),
    ],
)
def test_a_path_in_the_project_starts_with_the_placeholder(text: str, written: str) -> None:
    assert relative_paths({"at": [text]}, "/project") == {"at": [written]}
    assert absolute_paths(written, "/project") == text


@pytest.mark.parametrize("marker", ["pyproject.toml", "setup.py", "setup.cfg", ".git"])
def test_the_project_is_the_nearest_directory_with_a_marker(tmp_path: Path, marker: str) -> None:
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "inner" / "pipelines").mkdir(parents=True)
    file = tmp_path / "inner" / "pipelines" / "flights.py"
    assert project_of(str(file)) == str(tmp_path)
    (tmp_path / "inner" / marker).touch()
    assert project_of(str(file)) == str(tmp_path / "inner")


def test_without_a_marker_the_project_is_the_directory_of_the_file(tmp_path: Path) -> None:
    assert project_of(str(tmp_path / "flights.py")) == str(tmp_path)
