"""Hands OpenLineage events on: to a file, or to a server that may be slow or gone."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from typing import Final

import tenacity
from openlineage.client.event_v2 import RunEvent
from openlineage.client.serde import Serde
from openlineage.client.transport.http import ApiKeyTokenProvider, HttpConfig, HttpTransport
from requests import RequestException

from prodml.orchestration.events.appended_lines import AppendedLines
from prodml.orchestration.events.event import Event
from prodml.orchestration.events.openlineage import LineageEvents

_MAY_PASS: Final = frozenset({408, 429, 500, 502, 503, 504})

Warn = Callable[[str], None]
"""Tells the person who waits; called once at most, when the run has ended."""


class LineageFile:
    """An event sink that appends OpenLineage events to a file, one JSON object a line.

    Args:
        path: made where it is missing, with its directory; several runs may share it.
    """

    # Not openlineage-python's FileTransport: it opens the file for each event and writes through
    # a buffer, so that long events of two processes mix.

    def __init__(self, lineage: LineageEvents, path: str, warn: Warn) -> None:
        self._lineage = lineage
        self._path = path
        self._lines = AppendedLines(path)
        self._warn = warn
        self._lost = 0
        self._cause = ""

    def emit(self, event: Event) -> None:
        try:
            for told in self._lineage.of(event):
                self._lines.append(Serde.to_json(told).encode("ascii"))
        except (OSError, ValueError) as error:
            # ValueError: something in it, such as an artifact's URI, is nothing that OpenLineage
            # has a form for.
            self._lost += 1
            self._cause = str(error)

    def close(self) -> None:
        self._lines.close()
        if self._lost:
            self._warn(
                f"{self._lost} OpenLineage event(s) were not written to {self._path}: {self._cause}"
            )


class LineageServer:
    """An event sink that posts OpenLineage events to a server, in order, from a thread of its own.

    A run never waits for the server but at its end, for at most `timeout_seconds`, and never fails
    because of it: what could not be sent is counted, and told in one warning.

    Args:
        url: of the server, such as `http://localhost:5000`.
        endpoint: path below it.
        token: sent as a bearer token; None for none.
        timeout_seconds: for one answer, and for all that is left when the run has ended.
    """

    # Not openlineage-python's AsyncHttpTransport: when its queue is full, `emit` waits.

    _CAPACITY: Final = 1000

    def __init__(
        self,
        lineage: LineageEvents,
        url: str,
        endpoint: str,
        token: str | None,
        timeout_seconds: float,
        warn: Warn,
    ) -> None:
        self._lineage = lineage
        self._url = url
        self._timeout_seconds = timeout_seconds
        self._warn = warn
        config = HttpConfig(
            url=url.rstrip("/") + "/",
            endpoint=endpoint.lstrip("/"),
            timeout=timeout_seconds,
            # urllib3 would log every one of its attempts into the output of a node.
            retry={"total": 0},
        )
        if token is not None:
            config.auth = ApiKeyTokenProvider({"apiKey": token})
        self._transport = HttpTransport(config)
        self._queue: queue.Queue[RunEvent | None] = queue.Queue(self._CAPACITY)
        self._taken = 0
        self._sent = 0
        self._cause = "it did not answer in time"
        self._is_closing = threading.Event()
        self._retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_may_pass),
            wait=tenacity.wait_exponential(multiplier=0.1),
            stop=tenacity.stop_after_attempt(3),
            sleep=self._wait,
            reraise=True,
        )
        self._thread = threading.Thread(target=self._send, name="openlineage", daemon=True)
        self._thread.start()

    def emit(self, event: Event) -> None:
        try:
            events = self._lineage.of(event)
        except ValueError as error:
            self._taken += 1
            self._cause = str(error)
            return
        for told in events:
            self._taken += 1
            try:
                self._queue.put_nowait(told)
            except queue.Full:
                self._cause = "it is too slow"

    def close(self) -> None:
        deadline = time.monotonic() + self._timeout_seconds
        # The queue is full, and stays so, where the server holds the thread up.
        with contextlib.suppress(queue.Full):
            self._queue.put(None, timeout=self._timeout_seconds)
        self._thread.join(max(0.0, deadline - time.monotonic()))
        self._is_closing.set()
        lost = self._taken - self._sent
        if lost:
            self._warn(
                f"{lost} of {self._taken} OpenLineage event(s) were not sent to {self._url}: "
                f"{self._cause}"
            )

    def _wait(self, seconds: float) -> None:
        """Waits, but not beyond the end of the run."""
        self._is_closing.wait(seconds)

    def _send(self) -> None:
        while (told := self._queue.get()) is not None and not self._is_closing.is_set():
            try:
                self._retrying(self._transport.emit, told)
                self._sent += 1
            except Exception as error:
                # Whatever it is, it is told when the run has ended, and the next event is tried.
                self._cause = _cause(error)
        self._transport.close()


def _may_pass(error: BaseException) -> bool:
    if not isinstance(error, RequestException):
        return False
    return error.response is None or error.response.status_code in _MAY_PASS


def _cause(error: Exception) -> str:
    if isinstance(error, RequestException) and error.response is not None:
        return f"it answered {error.response.status_code} {error.response.reason}"
    # Not its text, which is long and may hold what was sent.
    return type(error).__name__
