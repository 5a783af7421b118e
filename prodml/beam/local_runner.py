"""A Beam runner for one process, without the overhead of a distributed runner.

Beam's own FnApiRunner treats its own process like a remote worker: it pickles every function, sends
each stage as messages and encodes all elements between stages, which takes about 20 ms for each
stage. The pipelines of a small run have hundreds of stages with few elements in each.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

from apache_beam.options.pipeline_options import TypeOptions
from apache_beam.options.value_provider import RuntimeValueProvider
from apache_beam.runners.common import DoFnRunner, Receiver
from apache_beam.runners.pipeline_utils import group_by_key_input_visitor
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.portability.fn_api_runner.fn_runner import RunnerResult
from apache_beam.runners.runner import PipelineState
from apache_beam.transforms.combiners import curry_combine_fn
from apache_beam.transforms.sideinputs import SideInputMap
from apache_beam.transforms.window import GlobalWindows

from prodml.beam.barriers import Combining, Grouping
from prodml.beam.local_steps import Step, steps_of
from prodml.beam.portability import AccumulatorCheck, ElementCheck, pickled_copy, sent_copy
from prodml.beam.reflection import view_options
from prodml.beam.step_metrics import StepMetrics
from prodml.beam.supported_steps import Kind, Unsupported, unsupported_option

_READ = GlobalWindows.windowed_value(None)
_LOGGER = logging.getLogger(__name__)


class LocalRunner(FnApiRunner):  # type: ignore[misc]  # Beam ships no types
    """Runs batch pipelines in global windows directly, and all others as FnApiRunner does.

    Each step has one bundle in each round. If several steps read an element, all get the same
    object, which they must not change by Beam's rules.

    Args:
        check_portability: pickles every function and encodes every element, as a remote runner
            would; raises PortabilityError if that fails.
    """

    def __init__(self, check_portability: bool = False) -> None:
        super().__init__()
        self._check_portability = check_portability

    def run_pipeline(self, pipeline: Any, options: Any) -> Any:
        RuntimeValueProvider.set_runtime_options({})
        is_lenient = options.view_as(TypeOptions).allow_non_deterministic_key_coders
        pipeline.visit(group_by_key_input_visitor(not is_lenient))
        steps = unsupported_option(options) or steps_of(pipeline)
        if isinstance(steps, Unsupported):
            _LOGGER.warning("Beam's FnApiRunner runs a pipeline, because %s.", steps.reason)
            return super().run_pipeline(pipeline, options)
        metrics = StepMetrics()
        with metrics.collected(), ExitStack() as teardowns:
            _Run(steps, metrics, teardowns, self._check_portability).run()
        self._latest_run_result = RunnerResult(PipelineState.DONE, metrics.monitoring_infos())
        return self._latest_run_result


class _Output(Receiver):  # type: ignore[misc]
    """Passes each element of a PCollection to all of its consumers."""

    def __init__(self) -> None:
        self.consumers: list[Callable[[Any], None]] = []

    def receive(self, element: Any) -> None:
        for consume in self.consumers:
            consume(element)


class _CheckedOutput(_Output):
    """Passes on each element as a remote worker would receive it."""

    def __init__(self, check: ElementCheck) -> None:
        super().__init__()
        self._check = check

    def receive(self, element: Any) -> None:
        super().receive(self._check(element))


class _Run:
    """One run of a pipeline's steps."""

    def __init__(
        self, steps: list[Step], metrics: StepMetrics, teardowns: ExitStack, is_checked: bool
    ) -> None:
        self._steps = steps
        self._metrics = metrics
        self._teardowns = teardowns
        self._is_checked = is_checked
        self._producers = {o: step for step in steps for o in step.outputs.values()}
        self._outputs = {
            output: _CheckedOutput(ElementCheck(output, step.label)) if is_checked else _Output()
            for output, step in self._producers.items()
        }
        self._stored: dict[Any, list[Any]] = {}
        """Elements of the PCollections that a later round reads, or that are side inputs."""
        self._uses: dict[Any, int] = defaultdict(int)
        self._barriers: dict[int, Grouping | Combining] = {}
        self._times_used = Counter(id(_function(step)) for step in steps)

    def run(self) -> None:
        for step in self._steps:
            for collection in {*self._replayed(step), *step.sides}:
                self._uses[collection] += 1
                if collection not in self._stored:
                    self._stored[collection] = []
                    self._outputs[collection].consumers.append(self._stored[collection].append)
        for number in range(max((step.output_round for step in self._steps), default=-1) + 1):
            self._run_round(number)

    def _run_round(self, number: int) -> None:
        taking = [step for step in self._steps if step.input_round == number]
        with ExitStack() as teardowns:
            runners = {
                id(step): self._started(step, teardowns)
                for step in taking
                if step.kind is Kind.PAR_DO
            }
            consumers = {id(step): self._consumer(step, runners.get(id(step))) for step in taking}
            for step in taking:
                replayed = self._replayed(step)
                for collection in step.inputs:
                    if collection not in replayed:
                        self._outputs[collection].consumers.append(consumers[id(step)])
            for step in self._steps:
                if step.output_round == number and step.kind in (Kind.IMPULSE, Kind.READ):
                    self._emit(step, self._read(step))
                elif step.output_round == number and step.is_barrier:
                    self._emit(step, self._barriers.pop(id(step)).results())
                if step.input_round == number:
                    for collection in self._replayed(step):
                        for element in self._stored[collection]:
                            consumers[id(step)](element)
            for step in taking:
                if id(step) in runners:
                    with self._metrics.state_of(step.label):
                        runners[id(step)].finish()
            for runner in runners.values():
                runner.finalize()
        for step in taking:
            for collection in {*self._replayed(step), *step.sides}:
                self._uses[collection] -= 1
                if not self._uses[collection]:
                    self._stored[collection].clear()

    def _replayed(self, step: Step) -> list[Any]:
        """Inputs that were produced in an earlier round than the step reads them."""
        return [c for c in step.inputs if self._producers[c].output_round < step.input_round]

    def _emit(self, step: Step, values: Iterable[Any]) -> None:
        receive = self._outputs[step.outputs[None]].receive
        for value in values:
            receive(value)

    def _consumer(self, step: Step, runner: DoFnRunner | None) -> Callable[[Any], None]:
        if runner is not None:
            process, state = runner.process, self._metrics.state_of(step.label)

            def consume(element: Any) -> None:
                with state:
                    process(element)

            return consume
        if step.is_barrier:
            self._barriers[id(step)] = barrier = self._barrier(step)
            return barrier.add
        receive: Callable[[Any], None] = self._outputs[step.outputs[None]].receive
        return receive

    def _barrier(self, step: Step) -> Grouping | Combining:
        [collection] = step.inputs
        if step.kind is Kind.GROUP:
            return Grouping(collection)
        function, args, kwargs = self._own_function(step, step.transform.fn)
        if args or kwargs:
            function = curry_combine_fn(function, args, kwargs)
        transfer = AccumulatorCheck(function, step.label) if self._is_checked else _unchanged
        state = self._metrics.state_of(step.label)
        combining = Combining(collection, function, state, transfer)
        self._teardowns.callback(combining.teardown)
        return combining

    def _started(self, step: Step, teardowns: ExitStack) -> DoFnRunner:
        transform = step.transform
        # Elements of an output that no step reads are dropped.
        receivers: defaultdict[Any, _Output] = defaultdict(_Output)
        receivers.update({tag: self._outputs[o] for tag, o in step.outputs.items()})
        runner = DoFnRunner(
            *self._own_function(step, transform.dofn),
            [
                SideInputMap(type(view), view_options(view), self._stored[view.pvalue])
                for view in transform.side_inputs
            ],
            step.inputs[0].windowing,
            tagged_receivers=receivers,
            step_name=step.label,
            operation_name=step.label,
            transform_id=step.label,
        )
        with self._metrics.state_of(step.label):
            runner.setup()
            teardowns.callback(runner.teardown)
            runner.start()
        return runner

    def _own_function(self, step: Step, function: Any) -> tuple[Any, Any, Any]:
        """A function that only this step of the run uses, and its arguments."""
        transform = step.transform
        if self._is_checked:
            return (
                sent_copy(function, step.label),
                sent_copy(transform.args, step.label),
                sent_copy(transform.kwargs, step.label),
            )
        if self._times_used[id(function)] > 1:
            # Transform copies parts of its graph, and the copies share their functions.
            function = pickled_copy(function)
        return function, transform.args, transform.kwargs

    def _read(self, step: Step) -> Iterable[Any]:
        if step.kind is Kind.IMPULSE:
            yield _READ.with_value(b"")
            return
        source = step.transform.source
        if self._is_checked:
            source = sent_copy(source, step.label)
        # FnApiRunner reads with a splittable DoFn of this name.
        with self._metrics.state_of(f"{step.label}/SDFBoundedSourceReader"):
            for value in source.read(source.get_range_tracker(None, None)):
                yield _READ.with_value(value)


def _unchanged(accumulator: Any) -> Any:
    return accumulator


def _function(step: Step) -> Any:
    """The function of a step, which can have state; the step itself if it has no function."""
    if step.kind is Kind.PAR_DO:
        return step.transform.dofn
    return step.transform.fn if step.kind is Kind.COMBINE else step
