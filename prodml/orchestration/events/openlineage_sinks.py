"""Sends OpenLineage events to a file, or to a server that may be slow or unreachable."""

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

_TRANSIENT: Final = frozenset({408, 429, 500, 502, 503, 504})

Warn = Callable[[str], None]
"""Shows a warning to the user; called at most once, at the end of the run."""


class LineageFile:
    """An event sink that appends OpenLineage events to a file, one JSON object a line.

    Args:
        path: the file, created with its directory if missing; several runs may share it.
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
            for converted in self._lineage.of(event):
                self._lines.append(Serde.to_json(converted).encode("ascii"))
        except (OSError, ValueError) as error:
            # ValueError: a value, such as an artifact's URI, has no form in OpenLineage.
            self._lost += 1
            self._cause = str(error)

    def close(self) -> None:
        self._lines.close()
        if self._lost:
            self._warn(
                f"{self._lost} OpenLineage event(s) were not written to {self._path}: {self._cause}"
            )


class LineageServer:
    """An event sink that posts OpenLineage events to a server, in order, in a separate thread.

    A run waits for the server only at its end, for at most `timeout_seconds`, and never fails
    because of the server: events that could not be sent are counted and reported in one warning.

    Args:
        url: URL of the server, such as `http://localhost:5000`.
        endpoint: path below the URL.
        token: sent as a bearer token; None for no token.
        timeout_seconds: timeout of one request, and of all remaining events at the end of the run.
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
            # urllib3 would log each of its attempts into the output of a node.
            retry={"total": 0},
        )
        if token is not None:
            config.auth = ApiKeyTokenProvider({"apiKey": token})
        self._transport = HttpTransport(config)
        self._queue: queue.Queue[RunEvent | None] = queue.Queue(self._CAPACITY)
        self._received = 0
        self._sent = 0
        self._cause = "it did not answer in time"
        self._is_closing = threading.Event()
        self._retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_is_transient),
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
            self._received += 1
            self._cause = str(error)
            return
        for converted in events:
            self._received += 1
            try:
                self._queue.put_nowait(converted)
            except queue.Full:
                self._cause = "it is too slow"

    def close(self) -> None:
        deadline = time.monotonic() + self._timeout_seconds
        # The queue is full, and stays full, if the server blocks the thread.
        with contextlib.suppress(queue.Full):
            self._queue.put(None, timeout=self._timeout_seconds)
        self._thread.join(max(0.0, deadline - time.monotonic()))
        self._is_closing.set()
        lost = self._received - self._sent
        if lost:
            self._warn(
                f"{lost} of {self._received} OpenLineage event(s) were not sent to {self._url}: "
                f"{self._cause}"
            )

    def _wait(self, seconds: float) -> None:
        """Waits, at most until the end of the run."""
        self._is_closing.wait(seconds)

    def _send(self) -> None:
        while (event := self._queue.get()) is not None and not self._is_closing.is_set():
            try:
                self._retrying(self._transport.emit, event)
                self._sent += 1
            except Exception as error:
                # Any error is reported at the end of the run; the next event is sent anyway.
                self._cause = _cause(error)
        self._transport.close()


def _is_transient(error: BaseException) -> bool:
    if not isinstance(error, RequestException):
        return False
    return error.response is None or error.response.status_code in _TRANSIENT


def _cause(error: Exception) -> str:
    if isinstance(error, RequestException) and error.response is not None:
        return f"it answered {error.response.status_code} {error.response.reason}"
    # Not the error's text, which is long and may contain the request.
    return type(error).__name__
