"""The processes of a cluster: started in the background, recorded in a file, ended by it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

_MARK = "_PRODML_CLUSTER"
"""Variable of every process of a cluster. Children inherit it, so none is missed, and a process
that reused a number of an ended one is never taken for ours."""

_GRACE_SECONDS = 10.0
_LAST_LINES = 15


class ClusterError(Exception):
    """A cluster could not be started, or is not running."""


@dataclass(frozen=True)
class Service:
    """A process of a cluster; `log` is the file of its output."""

    name: str
    pid: int
    log: str


@dataclass
class _State:
    mark: str
    services: list[Service] = field(default_factory=list)
    addresses: dict[str, str] | None = None


class Services:
    """The processes of one cluster.

    Args:
        directory: directory of the record and the logs.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file = directory / "services.json"

    def begin(self) -> None:
        """Ends what is left of an earlier start, and begins a new record."""
        self.stop()
        (self._directory / "logs").mkdir(parents=True, exist_ok=True)
        self._write(_State(uuid.uuid4().hex))

    def start(
        self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> Service:
        """Starts a process in a session of its own, so that it survives this process.

        Args:
            name: name of the service, and of its log.
            command: the command to run.
            environment: variables to add to those of this process.
        """
        state = self._read()
        log = self._directory / "logs" / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=self._directory,
                env={**os.environ, **(environment or {}), _MARK: state.mark},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        # It outlives this process; unset, the object would warn that it still runs.
        process.returncode = 0
        service = Service(name, process.pid, str(log))
        state.services.append(service)
        self._write(state)
        return service

    def wait_until(
        self, services: Sequence[Service], is_ready: Callable[[], str | None], seconds: float
    ) -> None:
        """Waits until services are ready.

        Args:
            services: the services that must be alive.
            is_ready: asks the services; returns None if they are ready, and otherwise what is
                missing. An OSError means that they do not answer yet.
            seconds: maximum wait.

        Raises:
            ClusterError: a service has ended, or the wait was too long; the message names the log
                and contains its last lines.
        """
        deadline = time.monotonic() + seconds
        while True:
            for service in services:
                if not self._is_alive(service):
                    raise ClusterError(f"{service.name} has ended. {_last_lines(service)}")
            try:
                missing = is_ready()
            except OSError as error:
                missing = f"no answer ({error})"
            if missing is None:
                return
            if time.monotonic() > deadline:
                logs = "\n".join(_last_lines(service) for service in services)
                raise ClusterError(
                    f"{services[-1].name} is not ready after {seconds:.0f} s: {missing}. {logs}"
                )
            time.sleep(0.2)

    def publish(self, addresses: Mapping[str, str]) -> None:
        """Records that the cluster is ready, and where."""
        state = self._read()
        state.addresses = dict(addresses)
        self._write(state)

    def addresses(self) -> dict[str, str] | None:
        """Returns the addresses if the cluster was ready and all its processes are alive."""
        if not self._file.exists():
            return None
        state = self._read()
        return state.addresses if all(map(self._is_alive, state.services)) else None

    def services(self) -> list[Service]:
        """Returns the processes on record, in the order of their start."""
        return self._read().services if self._file.exists() else []

    def stop(self) -> int:
        """Ends all processes of the cluster and their children; returns how many there were."""
        if not self._file.exists():
            return 0
        mark = self._read().mark
        count = len(_marked(mark))
        for pid in _marked(mark):
            _signal(pid, signal.SIGTERM)
        deadline = time.monotonic() + _GRACE_SECONDS
        while _marked(mark) and time.monotonic() < deadline:
            time.sleep(0.1)
        while left := _marked(mark):
            for pid in left:
                _signal(pid, signal.SIGKILL)
            time.sleep(0.1)
        self._file.unlink()
        return count

    def _is_alive(self, service: Service) -> bool:
        return _mark_of(service.pid) == self._read().mark

    def _read(self) -> _State:
        content = json.loads(self._file.read_text())
        services = [Service(**each) for each in content["services"]]
        return _State(content["mark"], services, content["addresses"])

    def _write(self, state: _State) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps(asdict(state), indent=2))
        new.replace(self._file)


def _last_lines(service: Service) -> str:
    lines = Path(service.log).read_text(errors="replace").splitlines()[-_LAST_LINES:]
    return "\n  ".join([f"Its log {service.log} ends with:", *lines])


def _marked(mark: str) -> list[int]:
    return [int(n) for n in os.listdir("/proc") if n.isdecimal() and _mark_of(int(n)) == mark]


def _mark_of(pid: int) -> str | None:
    """The mark of a running process; None for a process that has none or has ended."""
    name = f"{_MARK}=".encode()
    try:
        # Empty for a process that has ended and was not waited for.
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return None
    return next((v.removeprefix(name).decode() for v in variables if v.startswith(name)), None)


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
