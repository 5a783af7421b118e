"""A Beam runner for pipelines with a few long steps: independent steps run at the same time.

`LocalRunner` pushes many elements through many short steps, one after the other. This runner starts
each ParDo as soon as all of its inputs are complete, even if other steps are running.
"""

from __future__ import annotations

import ctypes
import queue
import threading
from collections import defaultdict
from typing import Any, Protocol

from apache_beam.runners.common import DoFnRunner, Receiver
from apache_beam.runners.portability.fn_api_runner.fn_runner import RunnerResult
from apache_beam.runners.runner import PipelineRunner, PipelineState
from apache_beam.transforms.sideinputs import SideInputMap
from apache_beam.transforms.window import GlobalWindows

from prodml.beam.local_steps import Step, steps_of
from prodml.beam.supported_steps import Kind, Unsupported

_SECONDS_TO_END = 10.0
"""How long an interrupted pipeline waits for the steps in other threads to clean up."""


class LocalDoFn(Protocol):
    """Optional members of a DoFn to use objects of this process; other runners ignore them.

    Attributes:
        is_thread_safe: whether the DoFn may run in a separate thread, concurrently with other
            steps.
    """

    is_thread_safe: bool

    def use_process(self, shared: Any, is_alone: bool) -> None:
        """Called before `setup`.

        Args:
            shared: the object that was passed to the runner, such as an open connection, or any
                other object that cannot be pickled.
            is_alone: whether the DoFn runs in the thread of the pipeline; False if it runs
                concurrently with others.
        """


class ConcurrentRunner(PipelineRunner):  # type: ignore[misc]  # Beam ships no types
    """Runs pipelines of Impulse and ParDo in this process.

    Steps that are not thread-safe run in the thread of the pipeline, one at a time, so that a
    signal interrupts them. Thread-safe steps run in separate threads at the same time. A
    KeyboardInterrupt is raised in every thread.

    Args:
        shared: passed to each DoFn that has `use_process`.
    """

    def __init__(self, shared: object) -> None:
        super().__init__()
        self._shared = shared

    def run_pipeline(self, pipeline: Any, options: Any) -> Any:
        """Runs a pipeline to its end.

        Raises:
            NotImplementedError: the pipeline has other transforms.
        """
        steps = steps_of(pipeline)
        kinds = (Kind.IMPULSE, Kind.PAR_DO)
        if isinstance(steps, Unsupported) or any(step.kind not in kinds for step in steps):
            raise NotImplementedError("ConcurrentRunner runs Impulse and ParDo only")
        _Run(steps, self._shared).run()
        return RunnerResult(PipelineState.DONE, {})


class _Run:
    """One run of a pipeline's steps; among ready steps, the first in the list starts first."""

    def __init__(self, steps: list[Step], shared: object) -> None:
        self._waiting = list(steps)
        self._shared = shared
        self._elements: dict[Any, list[Any]] = {}
        """The elements of every complete PCollection."""
        self._threads: dict[str, threading.Thread] = {}
        self._ended: queue.SimpleQueue[tuple[Step, _Outputs | BaseException]] = queue.SimpleQueue()

    def run(self) -> None:
        try:
            while self._waiting or self._threads:
                ready = [step for step in self._waiting if self._is_ready(step)]
                alone = next((step for step in ready if not _is_thread_safe(step)), None)
                if alone is None and len(ready) == 1 and not self._threads:
                    # No other step is running, so it does not need a thread.
                    [alone] = ready
                for step in ready:
                    if step is not alone and _is_thread_safe(step):
                        self._waiting.remove(step)
                        self._start_thread(step)
                if alone is not None:
                    self._waiting.remove(alone)
                    self._elements |= self._execute(alone, is_alone=True)
                self._collect(wait=alone is None)
        except BaseException:
            for thread in self._threads.values():
                _interrupt(thread)
            for thread in self._threads.values():
                thread.join(_SECONDS_TO_END)
            raise

    def _is_ready(self, step: Step) -> bool:
        return all(collection in self._elements for collection in (*step.inputs, *step.sides))

    def _start_thread(self, step: Step) -> None:
        def run() -> None:
            try:
                self._ended.put((step, self._execute(step, is_alone=False)))
            except BaseException as error:
                self._ended.put((step, error))

        thread = self._threads[step.label] = threading.Thread(
            target=run, name=step.label, daemon=True
        )
        thread.start()

    def _collect(self, wait: bool) -> None:
        """Collects the outputs of steps in other threads; waits for one of them if `wait`."""
        while self._threads:
            try:
                step, ended = self._ended.get(block=wait)
            except queue.Empty:
                return
            del self._threads[step.label]
            if isinstance(ended, BaseException):
                raise ended
            self._elements |= ended
            wait = False

    def _execute(self, step: Step, is_alone: bool) -> _Outputs:
        """Runs a step in this thread; returns the elements of its outputs."""
        if step.kind is Kind.IMPULSE:
            return {step.outputs[None]: [GlobalWindows.windowed_value(b"")]}
        transform = step.transform
        if hasattr(transform.dofn, "use_process"):
            transform.dofn.use_process(self._shared, is_alone)
        outputs: _Outputs = {collection: [] for collection in step.outputs.values()}
        # Elements of an output that no step reads are dropped.
        receivers: defaultdict[Any, _Receiver] = defaultdict(lambda: _Receiver([]))
        receivers.update({tag: _Receiver(outputs[o]) for tag, o in step.outputs.items()})
        runner = DoFnRunner(
            transform.dofn,
            transform.args,
            transform.kwargs,
            [
                SideInputMap(type(view), view._view_options(), self._elements[view.pvalue])
                for view in transform.side_inputs
            ],
            step.inputs[0].windowing,
            tagged_receivers=receivers,
            step_name=step.label,
            operation_name=step.label,
            transform_id=step.label,
        )
        runner.setup()
        try:
            runner.start()
            for element in self._elements[step.inputs[0]]:
                runner.process(element)
            runner.finish()
        finally:
            runner.teardown()
        return outputs


_Outputs = dict[Any, list[Any]]


class _Receiver(Receiver):  # type: ignore[misc]
    def __init__(self, elements: list[Any]) -> None:
        self.receive = elements.append


def _is_thread_safe(step: Step) -> bool:
    return bool(getattr(getattr(step.transform, "dofn", None), "is_thread_safe", False))


def _interrupt(thread: threading.Thread) -> None:
    """Raises KeyboardInterrupt in a thread as soon as it is in Python code."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident or 0), ctypes.py_object(KeyboardInterrupt)
    )
