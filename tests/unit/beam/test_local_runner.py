"""The local runner produces what Beam's FnApiRunner produces, and stores little in memory."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.io import ReadFromText, WriteToText
from apache_beam.metrics import Metrics, MetricsFilter
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.transforms.userstate import CombiningValueStateSpec
from apache_beam.transforms.window import FixedWindows, TimestampedValue

from prodml.beam.local_runner import LocalRunner
from prodml.beam.local_steps import steps_of
from prodml.beam.supported_steps import Unsupported


class CountBundles(beam.DoFn):
    """Gives its sum when the bundle ends."""

    def start_bundle(self) -> None:
        self.sum = 0

    def process(self, element: int) -> Iterator[Any]:
        self.sum += element
        yield beam.pvalue.TaggedOutput("odd" if element % 2 else "even", element)

    def finish_bundle(self) -> Iterator[Any]:
        yield beam.utils.windowed_value.WindowedValue(
            self.sum, 0, [beam.transforms.window.GlobalWindow()]
        )


class Running(beam.DoFn):
    STATE = CombiningValueStateSpec("total", combine_fn=sum)
    TOTAL = beam.DoFn.StateParam(STATE)

    def process(self, pair: Any, total: Any = TOTAL) -> Iterator[Any]:
        total.add(pair[1])
        yield pair[0], total.read()


def numbers(pipeline: Any, label: str = "numbers") -> Any:
    return pipeline | label >> beam.Create([3, 1, 4, 1, 5, 9, 2, 6])


def keyed(pipeline: Any) -> Any:
    return numbers(pipeline) | "key" >> beam.Map(lambda x: (x % 3, x))


def side_inputs(pipeline: Any) -> Any:
    total = numbers(pipeline) | beam.CombineGlobally(sum)
    by_key = keyed_again(pipeline) | beam.CombinePerKey(max)
    return numbers(pipeline, "again") | "use" >> beam.Map(
        lambda x, total, largest, all: (x, total, largest[x % 3], sorted(all)),
        beam.pvalue.AsSingleton(total),
        beam.pvalue.AsDict(by_key),
        beam.pvalue.AsIter(numbers(pipeline, "third")),
    )


def keyed_again(pipeline: Any) -> Any:
    return numbers(pipeline, "more") | "key again" >> beam.Map(lambda x: (x % 3, x))


def flattened(pipeline: Any) -> Any:
    early = numbers(pipeline)
    late = early | "counted" >> beam.combiners.Count.Globally()
    return (early, late) | beam.Flatten()


def tagged(pipeline: Any) -> Any:
    given = numbers(pipeline) | beam.ParDo(CountBundles()).with_outputs("odd", main="sum")
    return (given["sum"], given.odd) | beam.Flatten()


def partitioned(pipeline: Any) -> Any:
    parts = numbers(pipeline) | beam.Partition(lambda x, n: x % n, 2)
    return parts[0] | "list" >> beam.combiners.ToList()


PIPELINES: list[Callable[[Any], Any]] = [
    numbers,
    side_inputs,
    flattened,
    tagged,
    partitioned,
    lambda p: keyed(p) | beam.GroupByKey() | beam.MapTuple(lambda k, vs: (k, list(vs))),
    lambda p: keyed(p) | beam.CombinePerKey(sum).with_hot_key_fanout(2),
    lambda p: keyed(p) | beam.combiners.Mean.PerKey(),
    lambda p: numbers(p) | beam.combiners.Top.Of(3),
    lambda p: numbers(p) | beam.Distinct() | beam.Reshuffle(),
    lambda p: p | beam.Create([]) | beam.CombineGlobally(sum),
    lambda p: ({"a": keyed(p), "b": keyed_again(p)}) | beam.CoGroupByKey() | beam.Map(repr),
    lambda p: numbers(p) | beam.BatchElements(3, 3) | beam.Map(len),
]


def elements(runner: Any, build: Callable[[Any], Any], file: Path) -> list[str]:
    file.write_text("")
    with beam.Pipeline(runner) as pipeline:
        build(pipeline) | "collect" >> beam.Map(append_line, str(file))
    return sorted(file.read_text().splitlines())


def append_line(element: Any, path: str) -> None:
    with open(path, "a") as file:
        file.write(f"{element!r}\n")


def assert_same_as_beams_runner(build: Callable[[Any], Any], tmp_path: Path) -> None:
    ours = elements(LocalRunner(), build, tmp_path / "elements")
    assert ours == elements(FnApiRunner(), build, tmp_path / "elements")


@pytest.mark.parametrize("build", PIPELINES)
def test_elements_are_those_of_beams_runner(build: Callable[[Any], Any], tmp_path: Path) -> None:
    pipeline = beam.Pipeline(LocalRunner())
    build(pipeline)
    assert isinstance(steps_of(pipeline), list)
    assert_same_as_beams_runner(build, tmp_path)


def windowed(pipeline: Any) -> Any:
    return (
        numbers(pipeline)
        | "stamp" >> beam.Map(lambda x: TimestampedValue((0, x), x))
        | beam.WindowInto(FixedWindows(4))
        | beam.CombinePerKey(sum)
    )


@pytest.mark.parametrize("build", [windowed, lambda p: keyed(p) | beam.ParDo(Running())])
def test_windows_and_state_go_to_beams_runner(build: Callable[[Any], Any], tmp_path: Path) -> None:
    pipeline = beam.Pipeline(LocalRunner())
    build(pipeline)
    assert isinstance(steps_of(pipeline), Unsupported)
    assert_same_as_beams_runner(build, tmp_path)


def test_files_are_read_and_written(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("b\na\n")
    with beam.Pipeline(LocalRunner()) as pipeline:
        lines = pipeline | ReadFromText(str(tmp_path / "in.txt"))
        lines | WriteToText(str(tmp_path / "out"), shard_name_template="")
    assert (tmp_path / "out").read_text() == "b\na\n"


def test_metrics_are_counted() -> None:
    pipeline = beam.Pipeline(LocalRunner())
    numbers(pipeline) | beam.Map(lambda x: Metrics.counter("seen", "numbers").inc(x))
    result = pipeline.run()
    [counter] = result.metrics().query(MetricsFilter().with_name("numbers"))["counters"]
    assert counter.committed == 31


def test_an_error_is_the_functions_own_and_names_the_step() -> None:
    with (
        pytest.raises(ZeroDivisionError, match="while running 'divide'"),
        beam.Pipeline(LocalRunner()) as pipeline,
    ):
        numbers(pipeline) | "divide" >> beam.Map(lambda x: x / (x - 4))


def test_data_that_is_only_changed_is_never_stored() -> None:
    """A step that waits for a side input has its data read when it can begin."""
    pipeline = beam.Pipeline(LocalRunner())
    total = numbers(pipeline) | beam.CombineGlobally(sum).without_defaults()
    read = numbers(pipeline, "read late")
    changed = read | "change" >> beam.Map(lambda x: x + 1)
    changed | "use" >> beam.Map(lambda x, total: x, beam.pvalue.AsSingleton(total))
    found = steps_of(pipeline)
    assert isinstance(found, list)
    steps = {step.label: step for step in found}
    late = [steps["change"], steps["read late/Impulse"]]
    assert {step.input_round for step in late} == {steps["use"].input_round} == {2}
