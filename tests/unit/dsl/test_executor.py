"""ExecutorContext, and artifact types that are declared twice."""

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


def test_types_with_the_same_name_are_the_same_type(tmp_path: Path) -> None:
    first, second = declare(1), declare(2)
    executor_context = context(first(uri="/x"), tmp_path)
    output = executor_context.output("key", second)
    output.custom_properties["a"] = 1
    assert output.words == 2  # type: ignore[attr-defined]
    assert executor_context.outputs["key"] is output
    assert executor_context.input("key", first).uri == "/x"


def test_the_newest_class_of_a_type_is_used() -> None:
    first, second = declare(1), declare(2)
    assert artifact_type("TextDeclaredTwice") is second is not first


def test_a_subclass_without_its_own_type_name_does_not_replace_its_base() -> None:
    class MyExamples(Examples):
        pass

    assert artifact_type("Examples") is Examples
    assert issubclass(MyExamples, Examples)


@pytest.mark.parametrize("method", ["input", "output"])
def test_requesting_another_type_than_the_declared_one_names_both(
    tmp_path: Path, method: str
) -> None:
    executor_context = context(Examples(), tmp_path)
    message = rf"{method} 'key' is of type Examples, but the executor requested Schema .*; request"
    with pytest.raises(UserCodeError, match=message):
        getattr(executor_context, method)("key", Schema)


def test_a_base_class_may_be_requested(tmp_path: Path) -> None:
    assert context(Examples(uri="/x"), tmp_path).output("key", Artifact).uri == "/x"
