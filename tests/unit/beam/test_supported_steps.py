"""FnApiRunner runs pipelines that the local runner does not support, and the log says why."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.io.restriction_trackers import OffsetRange, OffsetRestrictionTracker
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import python_urns
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.userstate import CombiningValueStateSpec
from apache_beam.transforms.window import FixedWindows

from prodml.beam.local_runner import LocalRunner
from prodml.beam.local_steps import steps_of
from prodml.beam.supported_steps import Unsupported, unsupported_option


class Stateful(beam.DoFn):
    STATE = CombiningValueStateSpec("total", combine_fn=sum)
    TOTAL = beam.DoFn.StateParam(STATE)

    def process(self, pair: Any, total: Any = TOTAL) -> Iterator[Any]:
        total.add(pair[1])
        yield pair[1]


class Ranges(beam.RestrictionProvider):
    def initial_restriction(self, element: Any) -> OffsetRange:
        return OffsetRange(0, 1)

    def create_tracker(self, restriction: OffsetRange) -> OffsetRestrictionTracker:
        return OffsetRestrictionTracker(restriction)

    def restriction_size(self, element: Any, restriction: OffsetRange) -> int:
        return 1


class Splittable(beam.DoFn):
    TRACKER = beam.DoFn.RestrictionParam(Ranges())

    def process(self, pair: Any, tracker: Any = TRACKER) -> Iterator[Any]:
        if tracker.try_claim(0):
            yield pair[1]


class InBatches(beam.DoFn):
    def process_batch(self, batch: list[int]) -> Iterator[list[int]]:
        yield batch

    def infer_output_type(self, input_type: Any) -> Any:
        return input_type


class Packed(beam.PTransform):
    def annotations(self) -> dict[str, bytes]:
        return {python_urns.APPLY_COMBINER_PACKING: b""}

    def expand(self, pairs: Any) -> Any:
        return pairs | beam.CombinePerKey(sum) | beam.Values()


UNCLAIMED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "state": (lambda p: p | "step" >> beam.ParDo(Stateful()), "'step' has state"),
    "splitting": (lambda p: p | "step" >> beam.ParDo(Splittable()), "splittable DoFn"),
    "windows": (
        lambda p: p | "step" >> beam.WindowInto(FixedWindows(5)) | beam.Values(),
        "'step' has windows or a trigger",
    ),
    "packing": (lambda p: p | "step" >> Packed(), "'step' asks for combiners to be packed"),
}


@pytest.mark.parametrize("name", UNCLAIMED)
def test_an_unsupported_pipeline_runs_on_fnapirunner(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    build, reason = UNCLAIMED[name]
    with (
        caplog.at_level(logging.WARNING, "prodml.beam"),
        beam.Pipeline(LocalRunner()) as pipeline,
    ):
        assert_that(build(pipeline | beam.Create([("a", 1)])), equal_to([1]))
    [message] = [m for m in caplog.messages if m.startswith("Beam's FnApiRunner")]
    assert reason in message


class YieldingBatches(beam.DoFn):
    @beam.DoFn.yields_batches
    def process(self, element: int) -> Iterator[list[int]]:
        yield [element]

    def infer_output_type(self, input_type: Any) -> Any:
        return input_type


@pytest.mark.parametrize("function", [InBatches(), YieldingBatches()])
def test_batches_are_unsupported(function: beam.DoFn) -> None:
    pipeline = beam.Pipeline(LocalRunner())
    numbers = pipeline | beam.Create([1]).with_output_types(int)
    numbers | "step" >> beam.ParDo(function)
    found = steps_of(pipeline)
    assert isinstance(found, Unsupported)
    assert found.reason == "'step' has a DoFn that takes or yields batches"


@pytest.mark.parametrize(
    "flag",
    [
        "--streaming",
        "--direct_num_workers=2",
        "--direct_running_mode=multi_threading",
        "--direct_runner_bundle_repeat=1",
        "--profile_cpu",
        "--update_compatibility_version=2.64.0",
    ],
)
def test_options_for_features_of_fnapirunner_are_unsupported(flag: str) -> None:
    found = unsupported_option(PipelineOptions([flag]))
    assert found is not None
    assert found.reason == f"of the option {flag.removeprefix('--').partition('=')[0]}"


def test_default_options_are_supported() -> None:
    assert unsupported_option(PipelineOptions([])) is None
