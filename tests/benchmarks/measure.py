"""Time and memory of a command, from start to exit."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Measurement:
    """What a command took.

    Attributes:
        seconds: from start to exit, by the wall clock.
        peak_mb: the largest resident set of any one of its processes, in MiB.
        processor_seconds: of all processors together.
    """

    seconds: float
    peak_mb: float
    processor_seconds: float


class CommandFailed(Exception):
    """A measured command exited with another code than 0."""


def measure(
    command: Sequence[str], log: Path, cwd: Path, environment: Mapping[str, str] | None = None
) -> Measurement:
    """Runs a command to its end; its output goes to a file.

    Raises:
        CommandFailed: with the end of its output.
    """
    with log.open("wb") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
        )
        # wait4, not wait: it gives the memory of this process, not of all children so far.
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        end = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
        raise CommandFailed(f"{' '.join(command)} exited with {process.returncode}:\n{end}")
    return Measurement(seconds, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime)
