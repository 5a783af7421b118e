"""What an executor gets, and how it asks for it."""

from pathlib import Path

import pytest

from prodml.artifacts import Artifact, Examples, Schema, artifact_type
from prodml.beam.profiles import RunnerProfile
from prodml.dsl.executor import ExecutorContext
from prodml.errors import UserCodeError


class Silent:
    def progress(self, done: int, total: int | None, unit: str) -> None: ...


def context(artifact: Artifact, tmp_path: Path) -> ExecutorContext:
    return ExecutorContext(
        "p", "r", "n", {"key": (artifact,)}, {"key": artifact}, {}, {}, str(tmp_path),
        RunnerProfile(), Silent(),
    )  # fmt: skip


def declare(words: int) -> type[Artifact]:
    class Text(Artifact):
        type_name = "TextDeclaredTwice"

        @property
        def words(self) -> int:
            return words

    return Text


def test_a_type_that_was_declared_twice_is_one_by_its_name(tmp_path: Path) -> None:
    first, second = declare(1), declare(2)
    given = context(first(uri="/x"), tmp_path)
    output = given.output("key", second)
    output.custom_properties["a"] = 1
    assert output.words == 2  # type: ignore[attr-defined]
    assert given.outputs["key"] is output
    assert given.input("key", first).uri == "/x"


def test_the_newest_class_of_a_type_is_taken() -> None:
    first, second = declare(1), declare(2)
    assert artifact_type("TextDeclaredTwice") is second is not first


def test_a_subclass_without_a_name_of_its_own_does_not_stand_for_its_type() -> None:
    class MyExamples(Examples):
        pass

    assert artifact_type("Examples") is Examples
    assert issubclass(MyExamples, Examples)


@pytest.mark.parametrize("ask", ["input", "output"])
def test_another_type_than_the_declared_one_is_an_error_with_both_names(
    tmp_path: Path, ask: str
) -> None:
    given = context(Examples(), tmp_path)
    message = rf"{ask} 'key' is of type Examples, but the executor requested Schema .*; request"
    with pytest.raises(UserCodeError, match=message):
        getattr(given, ask)("key", Schema)


def test_a_base_class_may_be_asked_for(tmp_path: Path) -> None:
    assert context(Examples(uri="/x"), tmp_path).output("key", Artifact).uri == "/x"
