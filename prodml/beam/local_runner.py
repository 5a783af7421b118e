"""A Beam runner for this process alone, without what a distributed one needs.

Beam's own FnApiRunner talks to itself as to a remote worker: it pickles every function, turns
each stage into messages and encodes what goes from one to the next, about 20 ms a stage. The
pipelines of a small run have hundreds of stages with a handful of elements in each.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from apache_beam import coders
from apache_beam.internal import pickler
from apache_beam.metrics.execution import MetricsContainer
from apache_beam.runners.common import DoFnRunner, Receiver
from apache_beam.runners.pipeline_utils import group_by_key_input_visitor
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.portability.fn_api_runner.fn_runner import RunnerResult
from apache_beam.runners.runner import PipelineState
from apache_beam.runners.worker import statesampler
from apache_beam.transforms.combiners import curry_combine_fn
from apache_beam.transforms.sideinputs import SideInputMap
from apache_beam.transforms.window import GlobalWindow, GlobalWindows
from apache_beam.utils.counters import CounterFactory

from prodml.beam.local_steps import Kind, Step, steps_of

_EMPTY = GlobalWindows.windowed_value(None)
_AT_THE_END = GlobalWindows.windowed_value(None, timestamp=GlobalWindow().max_timestamp())


class LocalRunner(FnApiRunner):  # type: ignore[misc]  # Beam ships no types
    """Runs batch pipelines in global windows directly, and any other as FnApiRunner does.

    One bundle a step and round; an element that goes to several steps is the same object for
    each, which by Beam's rules none of them changes.
    """

    def run_pipeline(self, pipeline: Any, options: Any) -> Any:
        pipeline.visit(group_by_key_input_visitor(True))
        steps = steps_of(pipeline)
        if steps is None:
            return super().run_pipeline(pipeline, options)
        metrics = MetricsContainer("pipeline")
        sampler = statesampler.StateSampler("pipeline", CounterFactory())
        outer = statesampler.get_current_tracker()
        statesampler.set_current_tracker(sampler)
        try:
            with sampler.scoped_state("pipeline", "process", metrics_container=metrics):
                _Run(steps).run()
        finally:
            statesampler.set_current_tracker(outer)
        found = metrics.to_runner_api_monitoring_infos("pipeline")
        return RunnerResult(PipelineState.DONE, {"pipeline": list(found.values())})


class _Output(Receiver):  # type: ignore[misc]
    """Hands each element of a PCollection on."""

    def __init__(self) -> None:
        self.takers: list[Callable[[Any], None]] = []

    def receive(self, element: Any) -> None:
        for take in self.takers:
            take(element)


class _Run:
    """One run of a pipeline's steps."""

    def __init__(self, steps: list[Step]) -> None:
        self._steps = steps
        self._producers = {o: step for step in steps for o in step.outputs.values()}
        self._outputs = {o: _Output() for step in steps for o in step.outputs.values()}
        self._held: dict[Any, list[Any]] = {}
        """Elements of the PCollections that somebody needs in a later round, or all at once."""
        self._uses: dict[Any, int] = defaultdict(int)
        self._barriers: dict[int, _Grouping | _Combining] = {}
        self._times_used = Counter(
            id(step.transform.dofn) for step in steps if step.kind is Kind.PAR_DO
        )

    def run(self) -> None:
        for step in self._steps:
            for collection in {*self._replayed(step), *step.sides}:
                self._uses[collection] += 1
                if collection not in self._held:
                    self._held[collection] = []
                    self._outputs[collection].takers.append(self._held[collection].append)
        for number in range(max((step.gives_in for step in self._steps), default=-1) + 1):
            self._run_round(number)

    def _run_round(self, number: int) -> None:
        taking = [step for step in self._steps if step.takes_in == number]
        runners: dict[int, Any] = {}
        takers: dict[int, Callable[[Any], None]] = {}
        for step in taking:
            if step.kind is Kind.PAR_DO:
                runners[id(step)] = self._started(step)
            takers[id(step)] = take = self._taker(step, runners)
            replayed = self._replayed(step)
            for collection in step.inputs:
                if collection not in replayed:
                    self._outputs[collection].takers.append(take)
        for step in self._steps:
            if step.gives_in == number and step.kind in (Kind.IMPULSE, Kind.READ):
                self._give(step, _read(step))
            elif step.gives_in == number and step.is_barrier:
                self._give(step, self._barriers.pop(id(step)).results())
            if step.takes_in == number:
                for collection in self._replayed(step):
                    for element in self._held[collection]:
                        takers[id(step)](element)
        for step in taking:
            if id(step) in runners:
                runners[id(step)].finish()
                runners[id(step)].teardown()
            for collection in {*self._replayed(step), *step.sides}:
                self._uses[collection] -= 1
                if not self._uses[collection]:
                    self._held[collection].clear()

    def _replayed(self, step: Step) -> list[Any]:
        """Inputs that were given in an earlier round than the step takes them in."""
        return [c for c in step.inputs if self._producers[c].gives_in < step.takes_in]

    def _give(self, step: Step, values: Iterable[Any]) -> None:
        receive = self._outputs[step.outputs[None]].receive
        for value in values:
            receive(value)

    def _taker(self, step: Step, runners: Mapping[int, Any]) -> Any:
        if step.kind is Kind.PAR_DO:
            return runners[id(step)].process
        if step.is_barrier:
            barrier = _Grouping(step) if step.kind is Kind.GROUP else _Combining(step)
            self._barriers[id(step)] = barrier
            return barrier.add
        return self._outputs[step.outputs[None]].receive

    def _started(self, step: Step) -> DoFnRunner:
        transform = step.transform
        function = transform.dofn
        if self._times_used[id(function)] > 1:
            # Transform copies parts of its graph, and the copies share what they run.
            function = pickler.roundtrip(function)
        # What goes to an output that nobody asked for is dropped.
        receivers: defaultdict[Any, _Output] = defaultdict(_Output)
        receivers.update({tag: self._outputs[o] for tag, o in step.outputs.items()})
        runner = DoFnRunner(
            function,
            transform.args,
            transform.kwargs,
            [
                SideInputMap(type(view), view._view_options(), self._held[view.pvalue])
                for view in transform.side_inputs
            ],
            step.inputs[0].windowing,
            tagged_receivers=receivers,
            step_name=step.label,
            operation_name=step.label,
            transform_id=step.label,
        )
        runner.setup()
        runner.start()
        return runner


class _Grouping:
    """GroupByKey: values by encoded key, encoded themselves as what is grouped is kept long."""

    def __init__(self, step: Step) -> None:
        self._key_coder, self._value_coder = _key_and_value_coders(step)
        self._values: dict[bytes, list[bytes]] = {}

    def add(self, element: Any) -> None:
        key, value = element.value
        self._values.setdefault(self._key_coder.encode(key), []).append(
            self._value_coder.encode(value)
        )

    def results(self) -> Iterable[Any]:
        for key, values in self._values.items():
            decoded = [self._value_coder.decode(value) for value in values]
            yield _AT_THE_END.with_value((self._key_coder.decode(key), decoded))


class _Combining:
    """CombinePerKey: an accumulator a key."""

    def __init__(self, step: Step) -> None:
        self._key_coder, _ = _key_and_value_coders(step)
        transform = step.transform
        function = transform.fn
        if transform.args or transform.kwargs:
            function = curry_combine_fn(function, transform.args, transform.kwargs)
        self._function = function
        self._function.setup()
        self._accumulators: dict[bytes, Any] = {}

    def add(self, element: Any) -> None:
        key, value = element.value
        encoded = self._key_coder.encode(key)
        found = self._accumulators.get(encoded)
        if found is None:
            found = self._function.create_accumulator()
        self._accumulators[encoded] = self._function.add_input(found, value)

    def results(self) -> Iterable[Any]:
        function = self._function
        for key, accumulator in self._accumulators.items():
            merged = function.merge_accumulators([function.compact(accumulator)])
            yield _AT_THE_END.with_value(
                (self._key_coder.decode(key), function.extract_output(merged))
            )
        function.teardown()


def _key_and_value_coders(step: Step) -> tuple[Any, Any]:
    coder = coders.registry.get_coder(step.inputs[0].element_type)
    if not coder.is_kv_coder():
        coder = coders.registry.get_coder(Any)
        return coder.as_deterministic_coder(step.label), coder
    return coder.key_coder().as_deterministic_coder(step.label), coder.value_coder()


def _read(step: Step) -> Iterable[Any]:
    if step.kind is Kind.IMPULSE:
        yield _EMPTY.with_value(b"")
        return
    source = step.transform.source
    for value in source.read(source.get_range_tracker(None, None)):
        yield _EMPTY.with_value(value)
