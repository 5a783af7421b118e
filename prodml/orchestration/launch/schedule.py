"""When each node of a run is run: as soon as all that it waits for has ended.

A node runs in the main thread, alone, unless its component says `runs_beside_others`: random
seeds, TensorFlow's settings and the descriptors of standard output are those of the whole
process. A signal interrupts the main thread, and so what runs there.
"""

from __future__ import annotations

import contextlib
import ctypes
import queue
import threading
from collections.abc import Iterator, Mapping, Sequence

from prodml.compiler.spec import NodeSpec
from prodml.dsl import references
from prodml.orchestration.launch import peak_memory
from prodml.orchestration.launch.attempts import Watch
from prodml.orchestration.launch.launcher import Launcher
from prodml.orchestration.launch.output_capture import captured, captured_thread
from prodml.orchestration.results import NodeResult

_SECONDS_TO_END = 10.0
"""How long a cancelled run waits for nodes in other threads to clean up."""


class Schedule:
    """Runs the nodes that are submitted to it.

    Args:
        launcher: what runs one node.
        nodes: what may be submitted; of several that are ready, the first is run first.
        settled: results of the nodes that have ended already.
    """

    def __init__(
        self, launcher: Launcher, nodes: Sequence[NodeSpec], settled: Mapping[str, NodeResult]
    ) -> None:
        self._launcher = launcher
        self._nodes = nodes
        self._results = dict(settled)
        self._waiting: set[str] = set()
        self._beside: dict[str, threading.Thread] = {}
        self._ended: queue.SimpleQueue[tuple[str, NodeResult | BaseException]] = queue.SimpleQueue()

    def submit(self, node: NodeSpec) -> None:
        """Takes a node; it is run when all that it waits for has ended."""
        self._waiting.add(node.id)

    def run(self) -> None:
        """Runs all that was submitted, to the end.

        Raises:
            KeyboardInterrupt: the run was cancelled; what ran beside has ended, too.
        """
        try:
            while self._waiting or self._beside:
                ready = [node for node in self._nodes if self._is_ready(node)]
                alone = next((node for node in ready if not _runs_beside_others(node)), None)
                if alone is None and len(ready) == 1 and not self._beside:
                    # With nothing to run beside, all that it prints can be kept apart.
                    [alone] = ready
                for node in ready:
                    if node is not alone and _runs_beside_others(node):
                        self._start_beside(node)
                if alone is not None:
                    self._waiting.remove(alone.id)
                    self._results[alone.id] = self._run(alone, _alone)
                self._collect(wait=alone is None)
        except BaseException:
            for thread in self._beside.values():
                _interrupt(thread)
            for thread in self._beside.values():
                thread.join(_SECONDS_TO_END)
            raise

    def _is_ready(self, node: NodeSpec) -> bool:
        return node.id in self._waiting and all(id in self._results for id in node.waits_for)

    def _run(self, node: NodeSpec, watch: Watch) -> NodeResult:
        ended = {id: self._results[id] for id in node.waits_for}
        return self._launcher.run(node, ended, watch)

    def _start_beside(self, node: NodeSpec) -> None:
        def run() -> None:
            try:
                self._ended.put((node.id, self._run(node, captured_thread)))
            except BaseException as error:
                self._ended.put((node.id, error))

        self._waiting.remove(node.id)
        thread = self._beside[node.id] = threading.Thread(target=run, name=node.id, daemon=True)
        thread.start()

    def _collect(self, wait: bool) -> None:
        """Takes the results of nodes that ran beside; waits for one of them where told to."""
        while self._beside:
            try:
                node_id, ended = self._ended.get(block=wait)
            except queue.Empty:
                return
            del self._beside[node_id]
            if isinstance(ended, BaseException):
                raise ended
            self._results[node_id] = ended
            wait = False


@contextlib.contextmanager
def _alone(log: str) -> Iterator[None]:
    # Not for a node beside another: the peak is that of the process, and would start anew.
    peak_memory.reset_peak()
    with captured(log):
        yield


def _runs_beside_others(node: NodeSpec) -> bool:
    return bool(getattr(references.load(node.component), "runs_beside_others", False))


def _interrupt(thread: threading.Thread) -> None:
    """Raises KeyboardInterrupt in a thread as soon as it is in Python code."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident or 0), ctypes.py_object(KeyboardInterrupt)
    )
