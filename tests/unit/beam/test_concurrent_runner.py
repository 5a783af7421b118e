"""A runner for a few long steps: thread-safe steps overlap, all others run one at a time."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import apache_beam as beam
import pytest

from prodml.beam.profiles import RunnerProfile


class Work(beam.DoFn):  # type: ignore[misc]  # Beam ships no types
    """Calls an action of the shared object, by name."""

    def __init__(self, action: str, is_thread_safe: bool = False) -> None:
        self._action = action
        self.is_thread_safe = is_thread_safe

    def use_process(self, shared: Any, is_alone: bool) -> None:
        self._act = shared[self._action]
        self._is_alone = is_alone

    def process(self, _: bytes, *given: Any) -> Iterator[Any]:
        yield self._act(self._is_alone, *given)


def run(actions: dict[str, Callable[..., Any]], graph: Callable[[Any], None]) -> None:
    with RunnerProfile().pipeline_of_long_steps(actions) as pipeline:
        graph(pipeline | beam.Impulse())


def step(name: str, is_thread_safe: bool = False, *given: Any) -> Any:
    sides = map(beam.pvalue.AsSingleton, given)
    return name >> beam.ParDo(Work(name, is_thread_safe), *sides)


def test_thread_safe_steps_run_concurrently_with_one_that_is_not() -> None:
    meeting = threading.Barrier(3)

    def meet(is_alone: bool) -> int:
        return meeting.wait(30)

    def graph(start: Any) -> None:
        start | step("one", True)
        start | step("other")
        start | step("third", True)

    run({"one": meet, "other": meet, "third": meet}, graph)


def test_steps_that_are_not_thread_safe_take_turns_in_the_thread_of_the_pipeline() -> None:
    threads = []

    def note(is_alone: bool) -> None:
        threads.append((threading.current_thread(), is_alone))

    def graph(start: Any) -> None:
        start | step("one")
        start | step("other")

    run({"one": note, "other": note}, graph)
    assert threads == [(threading.current_thread(), True)] * 2


def test_a_step_starts_as_soon_as_its_side_inputs_are_complete() -> None:
    has_followed = threading.Event()

    def wait(is_alone: bool) -> bool:
        return has_followed.wait(30)

    def follow(is_alone: bool, before: int) -> None:
        assert before == 7
        has_followed.set()

    def graph(start: Any) -> None:
        start | step("long", True)
        start | step("next", True, start | step("short", True))

    run({"long": wait, "short": lambda is_alone: 7, "next": follow}, graph)
    assert has_followed.is_set()


def test_a_single_thread_safe_step_has_the_process_to_itself() -> None:
    seen = []
    run({"only": lambda is_alone: seen.append(is_alone)}, lambda start: start | step("only", True))
    assert seen == [True]


def test_an_error_ends_the_pipeline_and_interrupts_concurrent_steps() -> None:
    has_begun, has_ended = threading.Event(), threading.Event()

    def wait(is_alone: bool) -> None:
        has_begun.set()
        try:
            while True:
                # In steps: an interrupt reaches a thread only in Python code.
                threading.Event().wait(0.01)
        except KeyboardInterrupt:
            has_ended.set()
            raise

    def fail(is_alone: bool) -> None:
        has_begun.wait(30)
        raise ValueError("as told")

    def graph(start: Any) -> None:
        start | step("endless", True)
        start | step("broken")

    with pytest.raises(ValueError, match="as told"):
        run({"endless": wait, "broken": fail}, graph)
    assert has_ended.is_set()


def test_a_pipeline_with_a_grouping_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="Impulse and ParDo only"):
        run(
            {},
            lambda start: start | beam.Map(lambda each: (each, each)) | beam.GroupByKey(),
        )


def test_another_runner_than_the_local_one_gets_nothing_of_this_process() -> None:
    profile = RunnerProfile(options={"direct_num_workers": 1})
    with (
        pytest.raises(AttributeError, match="_act"),
        profile.pipeline_of_long_steps({"only": print}) as pipeline,
    ):
        pipeline | beam.Impulse() | step("only")
