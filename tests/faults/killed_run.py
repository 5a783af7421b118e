"""Runs `prodml` and ends it at a chosen moment, by SIGKILL or by another signal.

    python killed_run.py POINTS KILL_AT run pipeline.py ...

What changes durable state is a point: every rename, sync, directory made or removed, every write
to ML Metadata, before it and inside of it, and every executor before and after it. Between two
points nothing durable changes. POINTS is the file that gets the name of each point as it is
passed. KILL_AT is the number of the point to die at, 0 for none, a name for the first point of
that name, or a time in seconds such as `2.5s`. Inside of a write means some tenths of a millisecond
after it began, by a timer of the kernel: ML Metadata's C++ code does not let Python run meanwhile.

With the name of a signal before it, such as `SIGTERM 57`, that signal is sent to the process at a
point. Inside of a write then means as it returns: only then does Python call a handler.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
from collections.abc import Callable
from typing import Any

INSIDE_SECONDS = (0.0001, 0.0003, 0.0008)


class Points:
    """Counts the points that the run passes, and kills the process at one of them."""

    def __init__(self, path: str, kill_at: str) -> None:
        name, _, moment = kill_at.partition(" ")
        self.signal = signal.SIGKILL
        if name.startswith("SIG"):
            self.signal, kill_at = signal.Signals[name], moment
        self._log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        self._kill_at = kill_at
        self._count = 0
        if re.fullmatch(r"[\d.]+s", kill_at):
            die_in(float(kill_at[:-1]))

    def passed(self, name: str, detail: str = "") -> bool:
        """Whether to send the signal inside the following step; if it is due now, sends it.

        Args:
            detail: added to the name for a second name: `before put_execution Train FAILED`.
        """
        self._count += 1
        os.write(self._log, f"{name}\n".encode())
        if self._kill_at not in (str(self._count), name, f"{name} {detail}"):
            return False
        if name.startswith("inside"):
            return True
        self.send()
        return False

    def send(self) -> None:
        os.kill(os.getpid(), self.signal)


def die_in(seconds: float) -> None:
    # The default action of SIGALRM ends a process as SIGKILL does: nothing in it is run.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def wrap(points: Points, owner: Any, name: str, what: Callable[..., str]) -> None:
    original = getattr(owner, name)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        points.passed(f"before {what(*arguments)}")
        return original(*arguments, **named)

    setattr(owner, name, wrapped)


def wrap_write(points: Points, store: Any, name: str) -> None:
    original = getattr(store, name)
    calls = 0

    def wrapped(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        detail = execution_text(arguments[1]) if name == "put_execution" else ""
        points.passed(f"before {name}", detail)
        is_inside = points.passed(f"inside {name}", detail)
        if is_inside and points.signal is signal.SIGKILL:
            die_in(INSIDE_SECONDS[calls % len(INSIDE_SECONDS)])
        answer = original(*arguments, **named)
        if is_inside:
            points.send()
        return answer

    setattr(store, name, wrapped)


def execution_text(execution: Any) -> str:
    """Node and state, such as `Train COMPLETE`."""
    state = type(execution).State.Name(execution.last_known_state)
    return f"{execution.custom_properties['node_id'].string_value} {state}"


def place(path: Any, *_: Any) -> str:
    """A path without what differs from run to run."""
    if isinstance(path, int):
        path = os.readlink(f"/proc/self/fd/{path}")
    relative = os.path.relpath(path)
    parts = ["N" if part[:1].isdigit() else part for part in relative.split(os.sep)[-3:]]
    return "/".join(p.split("-")[0] if p.startswith(".staging") else p for p in parts)


def main() -> None:
    points = Points(sys.argv[1], sys.argv[2])
    sys.argv = ["prodml", *sys.argv[3:]]
    # Before anything binds what is wrapped.
    from ml_metadata.metadata_store import metadata_store

    from prodml.cli.main import main as prodml
    from prodml.orchestration.code import executors

    for name in ("rename", "replace"):
        wrap(points, os, name, lambda source, target: f"rename to {place(target)}")
    wrap(points, os, "link", lambda source, target: f"link to {place(target)}")
    wrap(points, os, "fsync", lambda file: f"sync {place(file)}")
    wrap(points, os, "mkdir", lambda path, *_: f"make {place(path)}")
    wrap(points, shutil, "rmtree", lambda path, *_: f"remove {place(path)}")
    for name in ("put_contexts", "put_parent_contexts", "put_execution", "put_executions"):
        wrap_write(points, metadata_store.MetadataStore, name)
    for name in ("put_artifacts", "put_execution_type", "put_artifact_type", "put_context_type"):
        wrap_write(points, metadata_store.MetadataStore, name)
    load = executors.load_executor

    def loading(node: Any) -> Any:
        execute = load(node)

        def executing(context: Any) -> None:
            points.passed(f"before {node.id} executes")
            execute(context)
            points.passed(f"after {node.id} has executed")

        return executing

    executors.load_executor = loading
    prodml()


if __name__ == "__main__":
    main()
