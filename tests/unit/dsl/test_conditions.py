import pytest

from prodml import Component, Cond, Output
from prodml.artifacts import ModelBlessing
from prodml.dsl.channel import Comparison, Predicate


class Judge(Component):
    blessing: Output[ModelBlessing]


def test_comparing_a_future_value_creates_a_predicate() -> None:
    channel = Judge().outputs["blessing"]
    value = channel.future()[0].custom_property("blessed")
    assert (value == 1).comparison is Comparison.EQ
    assert (value != 1).comparison is Comparison.NE
    assert (value < 1).comparison is Comparison.LT
    assert (value <= 1).comparison is Comparison.LE
    assert (value > 1).comparison is Comparison.GT
    expected = Predicate(channel, 0, "custom_property", "blessed", Comparison.GE, 1)
    assert (value >= 1) == expected


def test_components_created_in_nested_blocks_have_all_conditions() -> None:
    future = Judge().outputs["blessing"].future()[0]
    outer, inner = future.uri != "x", future.property("span") > 1
    with Cond(outer):
        with Cond(inner):
            assert Judge().conditions == (outer, inner)
        assert Judge().conditions == (outer,)
    assert Judge().conditions == ()


def test_only_a_comparison_is_a_condition() -> None:
    future = Judge().outputs["blessing"].future()[0]
    with pytest.raises(TypeError, match="expects a comparison"), Cond(True):  # type: ignore[arg-type]
        pass
    with pytest.raises(TypeError, match="with a number or string, got \\["):
        _ = future.uri == ["x"]
