"""Beam's view of a DoFn is the same whether it is read or cached."""

from typing import Any

import apache_beam as beam
import pytest
from apache_beam.transforms import core, userstate
from apache_beam.transforms.userstate import CombiningValueStateSpec

from prodml.beam.reflection import cache_signatures

METHODS = ["setup", "start_bundle", "process", "finish_bundle", "teardown"]


class Plain(beam.DoFn):
    def process(self, element: Any, scale: int = 2, timestamp: Any = beam.DoFn.TimestampParam):
        yield element * scale


class Replaced(beam.DoFn):
    def __init__(self, process: Any) -> None:
        self.process = process


def wrapped(function: Any) -> Any:
    return core.CallableWrapperDoFn(function)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "instance",
    [
        Plain(),
        wrapped(lambda x: [x]),
        wrapped(lambda x, side, other=3: [x]),
        Replaced(lambda element, a=1: None),
        Replaced(lambda element, b=2, c=3: None),
    ],
)
def test_cached_arguments_equal_those_that_beam_reads(instance: Any, method: str) -> None:
    read = core.get_function_arguments
    read = getattr(read, "_read", read)
    cache_signatures()
    for _ in range(2):
        assert core.get_function_arguments(instance, method) == read(instance, method)


def test_changes_to_a_returned_list_do_not_change_the_cache() -> None:
    cache_signatures()
    names, _ = core.get_function_arguments(Plain(), "process")
    names.clear()
    assert "element" in core.get_function_arguments(Plain(), "process")[0]


def test_caching_signatures_twice_has_no_effect() -> None:
    cache_signatures()
    once = core.get_function_arguments
    cache_signatures()
    assert core.get_function_arguments is once


STATE = CombiningValueStateSpec("total", combine_fn=sum)
TOTAL = beam.DoFn.StateParam(STATE)


class Stateful(beam.DoFn):
    def process(self, pair: Any, total: Any = TOTAL) -> Any:
        total.add(pair[1])


@pytest.mark.parametrize(
    "instance",
    [
        Plain(),
        Stateful(),
        wrapped(lambda x: [x]),
        Replaced(lambda element: None),
        Replaced(Stateful().process),
        Replaced(Plain().process),
    ],
)
def test_cached_states_equal_those_that_beam_reads(instance: Any) -> None:
    read = userstate.get_dofn_specs
    read = getattr(read, "_read", read)
    cache_signatures()
    for _ in range(2):
        assert userstate.get_dofn_specs(instance) == read(instance)
