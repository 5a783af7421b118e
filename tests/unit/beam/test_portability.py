"""Objects that cannot be sent to a remote worker are found on the local runner.

Beam pickles a DoFn, a CombineFn and their arguments itself when they are put into a transform, so
what is tested here has changed since, or is a source.
"""

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to

from prodml.beam.local_runner import LocalRunner
from prodml.beam.profiles import RunnerProfile
from prodml.errors import PortabilityError


class Connection:
    def __reduce__(self) -> Any:
        raise TypeError("a connection cannot be pickled")


CONNECTION = Connection()


def checked() -> beam.Pipeline:
    return RunnerProfile(check_portability=True).pipeline()


class Holding(beam.DoFn):
    """Hands elements on, and holds something."""

    held: Any = None

    def process(self, element: Any) -> Iterator[Any]:
        yield element


def holding_a_connection() -> beam.ParDo:
    transform = beam.ParDo(Holding())
    transform.dofn.held = {"connection": CONNECTION}
    return transform


def test_beam_refuses_a_dofn_that_cannot_be_pickled_where_it_is_used() -> None:
    function = Holding()
    function.held = CONNECTION
    with pytest.raises(RuntimeError, match="Unable to pickle fn .*Holding"):
        beam.ParDo(function)


def test_a_dofn_that_cannot_be_pickled_is_named_with_its_step() -> None:
    message = r"step 'hold': Holding\.held\['connection'\], a .*\.Connection, cannot be pickled"
    with pytest.raises(PortabilityError, match=message), checked() as pipeline:
        pipeline | beam.Create([1]) | "hold" >> holding_a_connection()


def test_without_the_check_nothing_is_pickled_when_a_pipeline_runs() -> None:
    with beam.Pipeline(LocalRunner()) as pipeline:
        assert_that(pipeline | beam.Create([1]) | holding_a_connection(), equal_to([1]))


class Reading(beam.io.iobase.BoundedSource):
    """Gives what it was made of."""

    def __init__(self, held: Any) -> None:
        self.held = held

    def get_range_tracker(self, start: Any, stop: Any) -> Any:
        return None

    def read(self, tracker: Any) -> Iterator[Any]:
        yield self.held


def test_a_source_that_cannot_be_pickled_is_named_with_its_step() -> None:
    message = r"step 'read': Reading\.held, a .*\.Connection, cannot be pickled"
    source = Reading(None)
    with pytest.raises(PortabilityError, match=message), checked() as pipeline:
        pipeline | "read" >> beam.io.Read(source)
        source.held = CONNECTION


class Connected(beam.CombineFn):
    """Adds up; its accumulators hold a connection."""

    def create_accumulator(self) -> list[Any]:
        return [0, CONNECTION]

    def add_input(self, accumulator: list[Any], element: int) -> list[Any]:
        return [accumulator[0] + element, CONNECTION]

    def merge_accumulators(self, accumulators: Any) -> list[Any]:
        return [sum(each[0] for each in accumulators)]

    def extract_output(self, accumulator: list[Any]) -> int:
        return int(accumulator[0])


def test_an_accumulator_that_cannot_be_encoded_is_named_with_its_step() -> None:
    message = r"step 'add': accumulator\[1\], a .*\.Connection, cannot be encoded by"
    with pytest.raises(PortabilityError, match=message), checked() as pipeline:
        pipeline | beam.Create([("a", 1)]) | "add" >> beam.CombinePerKey(Connected())


def connected(element: Any) -> dict[str, Connection]:
    return {"connection": Connection()}


def test_an_element_that_cannot_be_encoded_is_named_with_its_step() -> None:
    message = r"step 'open': element\['connection'\], a .*\.Connection, cannot be encoded by"
    with pytest.raises(PortabilityError, match=message), checked() as pipeline:
        pipeline | beam.Create([1]) | "open" >> beam.Map(connected)


def test_an_element_that_is_not_of_its_declared_type_is_named_with_its_step() -> None:
    message = r"step 'count': element, a builtins\.str, cannot be encoded by VarIntCoder"
    with pytest.raises(PortabilityError, match=message), checked() as pipeline:
        pipeline | beam.Create([1]) | "count" >> beam.Map(str).with_output_types(int)
