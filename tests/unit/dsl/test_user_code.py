from pathlib import Path

import pytest

from prodml.dsl.user_code import load_function, load_module, user_code
from prodml.errors import UserCodeError


def test_the_next_load_detects_a_changed_helper(tmp_path: Path) -> None:
    (tmp_path / "helper_of_test.py").write_text("VALUE = 1\n")
    (tmp_path / "module.py").write_text("from helper_of_test import VALUE\n")
    assert load_module(str(tmp_path / "module.py")).VALUE == 1
    (tmp_path / "helper_of_test.py").write_text("VALUE = 20\n")
    assert load_module(str(tmp_path / "module.py")).VALUE == 20


def test_a_file_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserCodeError, match=r"nowhere\.py does not exist"):
        load_module(str(tmp_path / "nowhere.py"))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import module_that_is_not_there\n", r"module\.py:1, in <module>: ModuleNotFoundError"),
        ("x = 1\n\ny = (\n", r"module\.py:3: SyntaxError"),
        ("x = 1\nraise ValueError('no')\n", r"module\.py:2, in <module>: ValueError: no"),
    ],
)
def test_an_import_error_names_the_users_line(tmp_path: Path, source: str, message: str) -> None:
    (tmp_path / "module.py").write_text(source)
    with pytest.raises(UserCodeError, match=message):
        load_module(str(tmp_path / "module.py"))


def test_a_missing_function_suggests_one_that_exists(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("def run_fm(args): ...\n")
    with pytest.raises(UserCodeError, match="no function 'run_fn'; did you mean 'run_fm'"):
        load_function(str(tmp_path / "module.py"), "run_fn")


def test_an_exception_of_user_code_names_its_line_and_is_the_cause(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("def run_fn(args):\n    return 1 / 0\n")
    run_fn = load_function(str(tmp_path / "module.py"), "run_fn")
    with (
        pytest.raises(UserCodeError, match=r"run_fn failed at .*module\.py:2, in run_fn") as caught,
        user_code(str(tmp_path), "run_fn failed"),
    ):
        run_fn(None)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
