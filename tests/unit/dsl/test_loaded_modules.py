"""User modules are imported once, and again if one of them has changed."""

import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from prodml.dsl import references
from prodml.dsl.user_code import load_function, load_module


@pytest.fixture(autouse=True)
def own_path(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", sys.path.copy())
    yield


def write(root: Path, **texts: str) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (root / f"{name}.py").write_text(text)


def test_a_file_is_loaded_once(tmp_path: Path) -> None:
    write(tmp_path, module="import helper_of_once\n", helper_of_once="class Kind: pass\n")
    first = load_module(str(tmp_path / "module.py"))
    second = load_module(str(tmp_path / "module.py"))
    assert second is first
    assert second.helper_of_once.Kind is first.helper_of_once.Kind


def test_two_files_share_the_helper_they_import(tmp_path: Path) -> None:
    write(tmp_path, a="from shared_kind import Kind\n", b="from shared_kind import Kind\n")
    write(tmp_path, shared_kind="class Kind: pass\n")
    assert load_module(str(tmp_path / "a.py")).Kind is load_module(str(tmp_path / "b.py")).Kind


def test_a_change_of_the_same_size_within_a_second_is_detected(tmp_path: Path) -> None:
    write(tmp_path, module="from helper_of_size import X\n", helper_of_size="X = 1\n")
    assert load_module(str(tmp_path / "module.py")).X == 1
    write(tmp_path, helper_of_size="X = 2\n")
    assert load_module(str(tmp_path / "module.py")).X == 2


def test_a_change_of_a_helper_that_a_function_imports_is_detected(tmp_path: Path) -> None:
    write(tmp_path, module="def f():\n    import lazy_helper\n    return lazy_helper.X\n")
    write(tmp_path, lazy_helper="X = 1\n")
    module = str(tmp_path / "module.py")
    assert load_function(module, "f")() == 1
    load_module(module)
    write(tmp_path, lazy_helper="X = 2\n")
    assert load_function(module, "f")() == 2


def test_a_change_is_detected_for_modules_imported_by_name(tmp_path: Path) -> None:
    write(tmp_path / "parts", things="class Thing:\n    x = 1\n")
    name = f"{tmp_path}//parts.things:Thing"
    assert references.load(name).x == 1
    write(tmp_path / "parts", things="class Thing:\n    x = 2\n")
    assert references.load(name).x == 2


@pytest.mark.parametrize("package", ["", "package_of_two."])
def test_helpers_of_the_same_name_in_two_directories_are_different(
    tmp_path: Path, package: str
) -> None:
    for place in ("one", "two"):
        write(tmp_path / place, module=f"from {package}helper_of_two import WHERE, f\n")
        directory = tmp_path / place / package.rstrip(".")
        write(directory, helper_of_two=f"WHERE = {place!r}\ndef f(): pass\n")
    one, two = (load_module(str(tmp_path / place / "module.py")) for place in ("one", "two"))
    assert (one.WHERE, two.WHERE) == ("one", "two")
    # After a load from its directory, each is importable by name, as pickling requires.
    assert load_module(str(tmp_path / "one" / "module.py")) is one
    assert pickle.loads(pickle.dumps(one.f)) is one.f


def test_a_module_that_fails_to_import_is_not_kept(tmp_path: Path) -> None:
    from prodml.errors import UserCodeError

    write(tmp_path, module="import broken_helper\n", broken_helper="1 / 0\n")
    with pytest.raises(UserCodeError, match=r"broken_helper\.py:1, in <module>: ZeroDivisionError"):
        load_module(str(tmp_path / "module.py"))
    write(tmp_path, broken_helper="X = 1\n")
    assert load_module(str(tmp_path / "module.py")).broken_helper.X == 1


def test_two_modules_that_import_each_other_can_be_loaded(tmp_path: Path) -> None:
    write(tmp_path, circle_a="import circle_b\nX = 1\n", circle_b="import circle_a\nY = 2\n")
    assert load_module(str(tmp_path / "circle_a.py")).circle_b.Y == 2
