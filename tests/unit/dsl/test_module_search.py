"""ModuleFinder finds the same files as an import, without importing anything."""

import sys
import zipfile
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from prodml.dsl.module_search import ModuleFinder, Origin, file_by_path, module_file


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return tmp_path


def write(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("raise SystemExit('was imported')\n")


def labels(name: str) -> list[str]:
    return [found.label for found in ModuleFinder().files(name)]


def test_the_packages_of_a_module_come_first(root: Path) -> None:
    write(root, "a/__init__.py", "a/b/__init__.py", "a/b/c.py")
    assert labels("a.b.c") == ["a/__init__.py", "a/b/__init__.py", "a/b/c.py"]
    assert labels("a.b.c.function") == labels("a.b.c")
    assert labels("a.nothing") == ["a/__init__.py"]


def test_a_namespace_package_is_found_in_several_directories(root: Path) -> None:
    write(root, "one/shared_space/x.py", "two/shared_space/y.py")
    sys.path[:0] = [str(root / "one"), str(root / "two")]
    assert labels("shared_space.x") == ["shared_space/x.py"]
    assert labels("shared_space.y") == ["shared_space/y.py"]
    assert ModuleFinder().is_namespace("shared_space")


def test_the_given_directory_is_searched_first(root: Path) -> None:
    write(root, "one/twin.py", "two/twin.py")
    sys.path.insert(0, str(root / "one"))
    found = module_file("twin", str(root / "two"))
    assert found is not None
    assert found.path == str(root / "two" / "twin.py")


@pytest.mark.parametrize(
    ("name", "origin"),
    [("prodml.components", Origin.PRODML), ("numpy", Origin.INSTALLED), ("json", Origin.STANDARD)],
)
def test_the_origin_of_a_module(name: str, origin: Origin) -> None:
    assert ModuleFinder().files(name)[0].origin is origin


def test_any_directory_with_installed_distributions_is_recognized(root: Path) -> None:
    write(root, "vendored/__init__.py", "own.py")
    (root / "vendored-1.0.dist-info").mkdir()
    # The dist-info that a build leaves in a project has no RECORD.
    assert ModuleFinder().origin("vendored") is Origin.USER
    (root / "vendored-1.0.dist-info" / "RECORD").write_text("vendored/__init__.py,,\n")
    assert ModuleFinder().origin("vendored") is Origin.INSTALLED
    assert ModuleFinder().origin("own") is Origin.USER


def test_an_extension_module_is_found_and_is_not_source(root: Path) -> None:
    write(root, f"fast{EXTENSION_SUFFIXES[0]}", "fast.py")
    found = module_file("fast")
    assert found is not None
    assert found.label == f"fast{EXTENSION_SUFFIXES[0]}"
    assert not found.is_source


def test_the_file_of_a_module_in_an_archive_is_the_archive(root: Path) -> None:
    with zipfile.ZipFile(root / "lib.zip", "w") as archive:
        archive.writestr("zipped_module.py", "X = 1\n")
    sys.path.insert(0, str(root / "lib.zip"))
    found = module_file("zipped_module")
    assert found is not None
    assert (found.label, found.is_source) == ("lib.zip", False)


def test_a_module_of_an_editable_installation_is_found(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(root, "source/mapped/__init__.py", "source/mapped/inner.py")

    class Finder:
        @staticmethod
        def find_spec(name: str, path: Any, target: Any = None) -> ModuleSpec | None:
            file = root / "source" / "mapped" / "__init__.py"
            return spec_from_file_location(name, file) if name == "mapped" else None

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    assert labels("mapped.inner") == ["mapped/__init__.py", "mapped/inner.py"]
    assert ModuleFinder().origin("mapped") is Origin.USER


def test_a_relative_path_entry_is_relative_to_the_working_directory(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(root, "lib/found_relatively.py")
    monkeypatch.chdir(root)
    sys.path.insert(0, "lib")
    assert labels("found_relatively") == ["found_relatively.py"]


def test_a_missing_module_is_not_found(root: Path) -> None:
    assert module_file("nowhere_at_all") is None
    assert ModuleFinder().origin("nowhere_at_all") is None


def test_the_root_of_a_file_loaded_by_path_is_its_directory(root: Path) -> None:
    write(root, "package/__init__.py", "package/module.py")
    (root / "link.py").symlink_to(root / "package" / "module.py")
    found = file_by_path(str(root / "link.py"))
    assert (found.root, found.label) == (str(root / "package"), "module.py")
