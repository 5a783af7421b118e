"""Types of parameters travel in a spec, and mean the same in another process."""

import datetime
import enum
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NewType, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prodml.dsl.parameter_types import describe_type, described_type
from prodml.dsl.parameters import FilePath, decode, encode
from prodml.secrets import Secret

Rate = NewType("Rate", float)


@dataclass(frozen=True)
class Step:
    rate: float
    files: tuple[FilePath, ...] = ()


class Outer:
    class Color(enum.Enum):
        RED = "red"


types = st.recursive(
    st.sampled_from(
        [bool, int, float, str, type(None), Any, Secret, Step, Outer.Color, datetime.date]
    )
    | st.sampled_from([Literal["a", 1, True, None], list, dict, tuple]),
    lambda inner: st.one_of(
        inner.map(lambda each: list[each]),  # type: ignore[valid-type]
        inner.map(lambda each: dict[str, each]),  # type: ignore[valid-type]
        inner.map(lambda each: tuple[each, ...]),  # type: ignore[valid-type]
        inner.map(lambda each: Sequence[each]),  # type: ignore[valid-type]
        inner.map(lambda each: Mapping[str, each]),  # type: ignore[valid-type]
        inner.map(lambda each: Optional[each]),  # noqa: UP045 (of a variable)
        st.tuples(inner, inner).map(lambda two: tuple[two]),  # type: ignore[valid-type]
    ),
    max_leaves=4,
)


@given(types)
def test_a_type_comes_back_from_its_json(declared: Any) -> None:
    described = json.loads(json.dumps(describe_type(declared)))
    assert described_type(described) == declared


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        (list[Step], [Step(0.5, ("a.txt",))]),
        (Step | FilePath, "steps.json"),
        (dict[str, tuple[int, ...]], {"a": (1, 2)}),
        (Outer.Color | None, Outer.Color.RED),
        (Literal["WARNING", "ERROR"] | None, "ERROR"),
    ],
)
def test_a_value_is_read_by_its_described_type(declared: Any, value: Any) -> None:
    encoded = json.loads(json.dumps(encode(declared, value)))
    described = json.loads(json.dumps(describe_type(declared)))
    assert decode(described_type(described), encoded) == value


@pytest.mark.parametrize(
    ("declared", "expected"),
    [(FilePath, "str"), (Annotated[int, "a mark"], "int"), (Rate, "float"), (list, "list")],
)
def test_marks_and_aliases_are_left_out(declared: Any, expected: Any) -> None:
    assert describe_type(declared) == expected


def test_a_type_that_no_process_can_find_is_refused() -> None:
    @dataclass
    class Local:
        number: int

    with pytest.raises(ValueError, match=r"Local.* declare a class at the top level of a module"):
        describe_type(list[Local])
