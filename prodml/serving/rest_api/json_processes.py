"""Reads and writes large JSON in separate processes, which run `json_worker.py`."""

from __future__ import annotations

import base64
import math
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from tensorflow.core.example import example_pb2, feature_pb2

from prodml.errors import ServingError
from prodml.serving.calls.execution import run_in_thread
from prodml.serving.rest_api.json_frames import (
    Buffer,
    Head,
    pack_arrays,
    receive_frame,
    send_frame,
    unpack_arrays,
)
from prodml.serving.rest_api.json_predict_requests import PredictBody
from prodml.serving.values.data_types import Array
from prodml.serving.values.signatures import DEFAULT_SIGNATURE

_LANES = (1 << 20, math.inf)
"""Largest body in each lane, in bytes: a small body does not wait for a far larger one."""
_BYTES_WRITTEN = 10
"""Approximate bytes of a number in JSON."""
_EXIT_SECONDS = 5.0
_EXAMPLE_FILES = [
    base64.b64encode(file.DESCRIPTOR.serialized_pb).decode() for file in (feature_pb2, example_pb2)
]


class JsonProcesses:
    """Reads bodies and writes answers, one at a time in each lane. Use it on the event loop only.

    A process starts with its first job, which takes a third of a second. Every method raises
    ServingError if the body is invalid, the values cannot be written, or the process has ended.
    """

    def __init__(self) -> None:
        self._lanes = [_Lane() for _ in _LANES]

    async def read_predict(
        self, body: Sequence[bytes], types: Mapping[str, Mapping[str, int]]
    ) -> PredictBody:
        """Parses a predict body.

        Args:
            body: the parts of the body, in order.
            types: the data types of the inputs by signature and name.
        """
        head = {"job": "predict", "types": types, "default_signature": DEFAULT_SIGNATURE}
        reply, arrays = await self._lane(sum(map(len, body))).run(head, [body])
        return PredictBody(reply["signature_name"], reply["has_rows"], arrays)

    async def read_examples(self, body: Sequence[bytes]) -> tuple[str, list[bytes]]:
        """Parses a classify or regress body into the signature's name and serialized
        tf.Examples."""
        head = {"job": "examples", "protos": _EXAMPLE_FILES}
        reply, arrays = await self._lane(sum(map(len, body))).run(head, [body])
        return reply["signature_name"], arrays["examples"].tolist()

    async def render(self, form: str, outputs: Mapping[str, Array], *, packed: bool) -> memoryview:
        """Writes the body of an answer.

        Args:
            form: name of the function in `json_answers` that writes it.
            outputs: arrays of numbers, booleans or strings.
            packed: whether the body is compressed with gzip.
        """
        size = sum(_BYTES_WRITTEN * output.size for output in outputs.values())
        heads, buffers = pack_arrays(outputs)
        head = {"job": "render", "form": form, "gzip": packed, "arrays": heads}
        _, arrays = await self._lane(size).run(head, buffers)
        return arrays["text"].data

    def close(self) -> None:
        """Ends the processes."""
        for lane in self._lanes:
            lane.close()

    def _lane(self, size: int) -> _Lane:
        return next(lane for lane, limit in zip(self._lanes, _LANES, strict=True) if size <= limit)


class _Lane:
    """A process, and the thread that communicates with it."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="json")
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None

    async def run(self, head: Head, buffers: Iterable[Buffer]) -> tuple[Head, dict[str, Array]]:
        return await run_in_thread(self._pool, lambda: self._exchange(head, buffers))

    def close(self) -> None:
        if self._process is not None:
            # Pending calls fail with an error.
            self._process.kill()
        self._pool.shutdown()
        self._end()

    def _exchange(self, head: Head, buffers: Iterable[Buffer]) -> tuple[Head, dict[str, Array]]:
        if self._process is None or self._process.poll() is not None:
            try:
                self._start()
            except OSError as error:
                self._end()
                raise ServingError(
                    "RESOURCE_EXHAUSTED",
                    f"the process that reads and writes large JSON cannot be started: {error}",
                ) from None
        assert self._connection is not None
        try:
            send_frame(self._connection, head, buffers)
            reply, received = receive_frame(self._connection)
        except (OSError, EOFError):
            self._end()
            raise ServingError(
                "RESOURCE_EXHAUSTED",
                "the process that reads and writes large JSON has ended: the request may need more "
                "memory than there is, or the server is stopping",
            ) from None
        if "error" in reply:
            raise ServingError(*reply["error"])
        return reply, unpack_arrays(reply["arrays"], received)

    def _start(self) -> None:
        self._end()
        self._connection, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "prodml.serving.rest_api.json_worker"],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                # Ctrl-C must reach only the server, which finishes the requests in progress.
                start_new_session=True,
            )

    def _end(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._process is not None:
            self._process.kill()
            self._process.wait(_EXIT_SECONDS)
            self._process = None
