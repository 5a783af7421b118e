from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import pytest

from prodml.dsl.parameters import FilePath, FunctionPath, ModulePath, decode, encode, watched


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True)
class Inner:
    steps: int = 1
    colour: Colour = Colour.RED


@dataclass(frozen=True)
class Outer:
    inner: Inner | None = None
    many: list[Inner] = field(default_factory=list)
    any: dict[str, Any] = field(default_factory=dict)


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        (int, 3),
        (float, 0.5),
        (str, "x"),
        (list[str], ["a"]),
        (dict[str, int], {"a": 1}),
        (int | None, None),
        (Outer, Outer(Inner(2), [Inner(3)], {"k": [1, None]})),
        (Outer | None, Outer()),
    ],
)
def test_a_value_survives_the_round_trip_through_json(declared: Any, value: Any) -> None:
    assert decode(declared, encode(declared, value)) == value


@pytest.mark.parametrize(
    ("declared", "value", "message"),
    [
        (int, "3", "valid integer; got '3'"),
        (int, True, "valid integer; got True"),
        (int, None, "got None"),
        (str, 3, "valid string; got 3"),
        (Outer, Outer(Inner(steps="many")), r"inner\.steps: .*got 'many'"),  # type: ignore[arg-type]
        (Outer, {"inner": {"step": 3}}, "step: Unexpected keyword argument"),
        (Outer, {"many": ["a"]}, "many"),
        (Inner, {"colour": "blue"}, "'red'"),
    ],
)
def test_a_value_of_another_type_is_refused_with_its_location(
    declared: Any, value: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        encode(declared, value)


def test_a_protocol_buffer_is_accepted_for_a_dict() -> None:
    from google.protobuf.api_pb2 import Method

    assert encode(dict[str, Any], Method(name="m", request_type_url="u")) == {
        "name": "m",
        "request_type_url": "u",
    }


@dataclass(frozen=True)
class Vocabulary:
    file: FilePath
    name: str = "words"


@pytest.mark.parametrize(
    ("declared", "value", "expected"),
    [
        (FilePath, "a", {"": "file"}),
        (ModulePath | None, "a.py", {"": "module"}),
        (FunctionPath | None, "a.b", {"": "function"}),
        (ModulePath | None, None, {}),
        (str, "a", {}),
        (Vocabulary | FilePath, "a", {"": "file"}),
        (Vocabulary | FilePath, {"file": "a", "name": "b"}, {"/file": "file"}),
        (list[FilePath], ["a", "b"], {"/0": "file", "/1": "file"}),
        (tuple[str, FilePath], ["a", "b"], {"/1": "file"}),
        (tuple[ModulePath, ...], ["a", "b"], {"/0": "module", "/1": "module"}),
        (dict[str, list[FilePath]], {"a/b": ["c"]}, {"/a~1b/0": "file"}),
        (list[Vocabulary], [{"file": "a", "name": "b"}], {"/0/file": "file"}),
        (Any, {"file": "a"}, {}),
    ],
)
def test_watched_texts_are_found_anywhere_in_a_value(
    declared: Any, value: Any, expected: dict[str, str]
) -> None:
    assert dict(watched(declared, value)) == expected


def test_paths_as_the_keys_of_a_dict_are_refused() -> None:
    with pytest.raises(ValueError, match="the keys of a dict cannot be watched paths"):
        list(watched(dict[FilePath, int], {"a": 1}))
