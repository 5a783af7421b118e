"""DoFns and CombineFns have the same life cycle on the local runner as on FnApiRunner."""

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.metrics import Metrics, MetricsFilter
from apache_beam.options.value_provider import RuntimeValueProvider
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.utils.windowed_value import PaneInfoTiming

from prodml.beam.local_runner import LocalRunner

CALLS: list[str] = []
"""What was called, in order; functions travel by pickle to FnApiRunner, in this process."""

on_both_runners = pytest.mark.parametrize("runner", [LocalRunner, FnApiRunner])


@pytest.fixture(autouse=True)
def calls() -> list[str]:
    CALLS.clear()
    return CALLS


def record(call: str) -> None:
    CALLS.append(call)


class Lifecycle(beam.DoFn):
    """Fails where it is asked to, and records its teardown."""

    def __init__(self, failing: str) -> None:
        self.failing = failing

    def start_bundle(self) -> None:
        self.fail("start_bundle")

    def process(self, element: int) -> Iterator[int]:
        self.fail("process")
        yield element

    def finish_bundle(self) -> None:
        self.fail("finish_bundle")

    def teardown(self) -> None:
        record("teardown")

    def fail(self, method: str) -> None:
        if method == self.failing:
            raise ValueError(f"no {method}")


@on_both_runners
@pytest.mark.parametrize("failing", ["start_bundle", "process", "finish_bundle"])
def test_a_dofn_is_torn_down_after_an_exception(
    runner: Any, failing: str, calls: list[str]
) -> None:
    with pytest.raises(ValueError, match=f"no {failing}"), beam.Pipeline(runner()) as pipeline:
        pipeline | beam.Create([1]) | beam.ParDo(Lifecycle(failing))
    assert calls == ["teardown"]


class FailingCombine(beam.CombineFn):
    """Fails on the first input, and records its teardown."""

    def create_accumulator(self) -> int:
        return 0

    def add_input(self, accumulator: int, element: int) -> int:
        raise ValueError("no input")

    def merge_accumulators(self, accumulators: Any) -> int:
        return sum(accumulators)

    def extract_output(self, accumulator: int) -> int:
        return accumulator

    def teardown(self) -> None:
        record("teardown")


def test_a_combine_function_is_torn_down_after_an_exception(calls: list[str]) -> None:
    with pytest.raises(ValueError, match="no input"), beam.Pipeline(LocalRunner()) as pipeline:
        pipeline | beam.Create([("a", 1)]) | beam.CombinePerKey(FailingCombine())
    assert calls == ["teardown"]


class Finalized(beam.DoFn):
    def process(
        self, element: int, finalizer: Any = beam.DoFn.BundleFinalizerParam
    ) -> Iterator[int]:
        finalizer.register(lambda: record(f"finalized {element}"))
        yield element

    def finish_bundle(self) -> None:
        record("finished")


@on_both_runners
def test_bundle_finalizers_are_called_after_the_bundle(runner: Any, calls: list[str]) -> None:
    with beam.Pipeline(runner()) as pipeline:
        pipeline | beam.Create([1, 2], reshuffle=False) | beam.ParDo(Finalized())
    assert calls == ["finished", "finalized 1", "finalized 2"]


class LastOrNone(beam.CombineFn):
    """The number of inputs, kept as None while there is one."""

    def create_accumulator(self) -> int:
        return 0

    def add_input(self, accumulator: int | None, element: int) -> int | None:
        counted = (1 if accumulator is None else accumulator) + 1
        return None if counted == 1 else counted

    def merge_accumulators(self, accumulators: Any) -> int | None:
        counted = sum(1 if each is None else each for each in accumulators)
        return None if counted == 1 else counted

    def extract_output(self, accumulator: int | None) -> int:
        return 1 if accumulator is None else accumulator


@on_both_runners
def test_none_is_an_accumulator_like_any_other(runner: Any) -> None:
    with beam.Pipeline(runner()) as pipeline:
        pairs = pipeline | beam.Create([("a", 1), ("a", 2), ("a", 3)])
        assert_that(pairs | beam.CombinePerKey(LastOrNone()), equal_to([("a", 3)]))


class Doubled(beam.CombinePerKey):
    """Doubles each combined value."""

    def expand(self, pairs: Any) -> Any:
        return super().expand(pairs) | beam.MapTuple(lambda key, value: (key, value * 2))


def test_a_subclass_of_combine_per_key_may_expand_to_something_else() -> None:
    """FnApiRunner gives 3: it knows the transform by the URN that it inherits."""
    with beam.Pipeline(LocalRunner()) as pipeline:
        pairs = pipeline | beam.Create([("a", 1), ("a", 2)])
        assert_that(pairs | Doubled(sum), equal_to([("a", 6)]))


class Spread(beam.Reshuffle):
    def expand(self, elements: Any) -> Any:
        return elements | beam.FlatMap(lambda element: [element, element])


@on_both_runners
def test_a_subclass_of_reshuffle_may_expand_to_something_else(runner: Any) -> None:
    with beam.Pipeline(runner()) as pipeline:
        assert_that(pipeline | beam.Create([1]) | Spread(), equal_to([1, 1]))


class Numbered(beam.CombineFn):
    """Fails if it is set up twice without a teardown between."""

    def setup(self) -> None:
        assert not hasattr(self, "is_set_up")
        self.is_set_up = True

    def create_accumulator(self) -> int:
        return 0

    def add_input(self, accumulator: int, element: int) -> int:
        return accumulator + element

    def merge_accumulators(self, accumulators: Any) -> int:
        return sum(accumulators)

    def extract_output(self, accumulator: int) -> int:
        return accumulator

    def teardown(self) -> None:
        del self.is_set_up


def test_two_steps_do_not_share_the_state_of_a_combine_function() -> None:
    function = Numbered()
    with beam.Pipeline(LocalRunner()) as pipeline:
        pairs = pipeline | beam.Create([("a", 1), ("a", 2)])
        both = [pairs | name >> beam.CombinePerKey(function) for name in ("once", "again")]
        assert_that(both | beam.Flatten(), equal_to([("a", 3), ("a", 3)]))


@on_both_runners
def test_runtime_value_providers_have_their_defaults(
    runner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RuntimeValueProvider, "runtime_options", None)
    provider = RuntimeValueProvider("limit", int, 7)
    with beam.Pipeline(runner()) as pipeline:
        elements = pipeline | beam.Create([1]) | beam.Map(lambda x: x + provider.get())
        assert_that(elements, equal_to([8]))


def counted(result: Any) -> dict[str, int]:
    counters = result.metrics().query(MetricsFilter().with_name("seen"))["counters"]
    return {counter.key.step: counter.committed for counter in counters}


def count(element: Any) -> Any:
    Metrics.counter("test", "seen").inc()
    return element


@on_both_runners
def test_each_step_has_its_own_counters(runner: Any) -> None:
    pipeline = beam.Pipeline(runner())
    elements = pipeline | beam.Create([1, 2, 3]) | "first" >> beam.Map(count)
    elements | beam.Filter(lambda x: x > 1) | "second" >> beam.Map(count)
    assert counted(pipeline.run()) == {"first": 3, "second": 2}


class Counting(FailingCombine):
    def add_input(self, accumulator: int, element: int) -> int:
        count(element)
        return accumulator + element


@on_both_runners
def test_counters_inside_a_combine_function_are_counted(runner: Any) -> None:
    pipeline = beam.Pipeline(runner())
    pipeline | beam.Create([("a", 1), ("b", 2)]) | beam.CombinePerKey(Counting())
    assert sum(counted(pipeline.run()).values()) == 2


def timing(element: Any, info: Any = beam.DoFn.PaneInfoParam) -> str:
    return str(PaneInfoTiming.to_string(info.timing))


@on_both_runners
@pytest.mark.parametrize("grouped", [beam.GroupByKey(), beam.CombinePerKey(sum)])
def test_a_group_is_on_time(runner: Any, grouped: Any) -> None:
    with beam.Pipeline(runner()) as pipeline:
        timings = pipeline | beam.Create([("a", 1)]) | grouped | beam.Map(timing)
        assert_that(timings, equal_to(["ON_TIME"]))


class Opaque:
    """A key that has no coder but pickle's."""

    def __init__(self, name: str) -> None:
        self.name = name


@on_both_runners
def test_keys_without_a_deterministic_coder_are_taken_where_options_allow_them(
    runner: Any,
) -> None:
    options = beam.options.pipeline_options.PipelineOptions(
        ["--allow_non_deterministic_key_coders"]
    )
    with beam.Pipeline(runner(), options) as pipeline:
        pairs = pipeline | beam.Create([1, 2]) | beam.Map(lambda x: (Opaque("a"), x))
        sums = pairs | beam.GroupByKey() | beam.MapTuple(lambda key, values: sum(values))
        assert_that(sums, equal_to([3]))


@on_both_runners
def test_keys_without_a_deterministic_coder_are_refused_otherwise(runner: Any) -> None:
    with (
        pytest.raises(TypeError, match="Unable to deterministically encode"),
        beam.Pipeline(runner()) as pipeline,
    ):
        pairs = pipeline | beam.Create([1, 2]) | beam.Map(lambda x: (Opaque("a"), x))
        pairs | beam.GroupByKey()
