"""Starts Python programs in processes that have imported the large libraries already.

Most programs that tests start spend more time on imports than on their task. Here the imports
happen once, in a helper process of the tests; each program runs in a fork of it. The fork is a real
process and a child of the tests: it has its own arguments, directory, environment and streams, can
be killed, and ends as any interpreter does. What a test says about start-up, imports, encodings or
options of the interpreter needs a new interpreter: `subprocess` starts one.

`run` and `Popen` have the arguments and results of `subprocess.run` and `subprocess.Popen`.
"""

from __future__ import annotations

import array
import atexit
import ctypes
import functools
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

TENSORFLOW = "tensorflow"
"""For programs that import TensorFlow."""

WITHOUT_TENSORFLOW = "without_tensorflow"

_PYTHON_VARIABLES = ("PYTHONPATH", "PYTHONWARNINGS")
_PR_SET_CHILD_SUBREAPER = 36
_SCRIPT = Path(__file__).with_name("warm_process.py")


def run(
    command: Sequence[str | Path],
    *,
    libraries: str = WITHOUT_TENSORFLOW,
    input: str | None = None,
    timeout: float | None = None,
    capture_output: bool = False,
    check: bool = False,
    **options: Any,
) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end.

    Args:
        command: `[sys.executable, "-m", module, ...]` or `[sys.executable, script, ...]`.
        libraries: what is imported before the program starts.
    """
    if capture_output:
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    if input is not None:
        options["stdin"] = subprocess.PIPE
    with Popen(command, libraries=libraries, **options) as process:
        try:
            output, errors = process.communicate(input, timeout=timeout)
        except BaseException:
            process.kill()
            raise
    ended = subprocess.CompletedProcess(process.args, process.returncode, output, errors)
    if check:
        ended.check_returncode()
    return ended


class Popen(subprocess.Popen[Any]):
    """A program that runs in a fork of a process with its libraries."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        libraries: str = WITHOUT_TENSORFLOW,
        **options: Any,
    ) -> None:
        self._libraries = libraries
        super().__init__([str(part) for part in command], **options)

    def _execute_child(  # type: ignore[override]
        self,
        args: list[str],
        executable: object,
        preexec_fn: object,
        close_fds: object,
        pass_fds: Sequence[int],
        cwd: str | Path | None,
        env: dict[str, str] | None,
        startupinfo: object,
        creationflags: object,
        shell: bool,
        p2cread: int,
        p2cwrite: int,
        c2pread: int,
        c2pwrite: int,
        errread: int,
        errwrite: int,
        restore_signals: object,
        gid: object,
        gids: object,
        uid: object,
        umask: object,
        start_new_session: bool,
        process_group: int,
    ) -> None:
        python, *program = args
        is_program = bool(program) and (program[0] == "-m" or not program[0].startswith("-"))
        if python != sys.executable or not is_program:
            raise ValueError(f"{args}: only a module or a script can run in a fork")
        if preexec_fn or pass_fds or shell or process_group != -1:
            raise ValueError("a fork takes no preexec_fn, pass_fds, shell or process_group")
        environment = dict(os.environ if env is None else env)
        for name in environment:
            is_for_start = name.startswith("PYTHON") and name not in _PYTHON_VARIABLES
            if is_for_start and environment[name] != os.environ.get(name):
                raise ValueError(f"{name} needs a new interpreter")
        order = {
            "program": program,
            "cwd": os.path.abspath(cwd or os.curdir),
            "env": environment,
            "start_new_session": start_new_session,
        }
        streams = [p2cread, c2pwrite, errwrite]
        self.pid = _source(self._libraries).fork(
            order, [given if given != -1 else number for number, given in enumerate(streams)]
        )
        self._child_created = True
        self._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)  # type: ignore[attr-defined]


class _Source:
    """The process with the libraries, which is forked."""

    def __init__(self, libraries: str) -> None:
        self._lock = threading.Lock()
        self._orders, theirs = socket.socketpair()
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        reading, writing = os.pipe()
        with theirs:
            # Its streams are pipes, because Python's objects for them must not be ones for a file
            # with positions.
            self._process = subprocess.Popen(
                [sys.executable, str(_SCRIPT), str(theirs.fileno()), libraries],
                env=environment,
                cwd=_SCRIPT.parents[2],
                pass_fds=[theirs.fileno()],
                stdin=reading,
                stdout=writing,
                stderr=writing,
            )
        os.close(reading)
        os.close(writing)
        atexit.register(self._end)

    def _end(self) -> None:
        self._orders.close()
        self._process.wait()

    def fork(self, order: dict[str, Any], streams: list[int]) -> int:
        """The process id of a new child of this process, which carries out the order."""
        data = json.dumps(order).encode()
        with self._lock:
            # The fork's parent ends at once, and the fork becomes the child of this process.
            _set_subreaper(True)
            try:
                self._orders.sendmsg(
                    [len(data).to_bytes(4, "big")],
                    [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", streams))],
                )
                self._orders.sendall(data)
                answer = self._orders.recv(4, socket.MSG_WAITALL)
            finally:
                _set_subreaper(False)
        if len(answer) < 4:
            raise OSError(f"{_SCRIPT.name} ended with {self._process.wait()}")
        return int.from_bytes(answer, "big")


@functools.cache
def _source(libraries: str) -> _Source:
    return _Source(libraries)


def _set_subreaper(is_on: bool) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, int(is_on), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
