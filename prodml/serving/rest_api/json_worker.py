"""The process that reads and writes large JSON for a server.

Its command is `python -m prodml.serving.rest_api.json_worker`.

Parsing JSON in Python, and converting its lists to arrays in numpy, holds the GIL for seconds for
tens of megabytes. The process receives its jobs as frames on the socket that is its standard input,
and ends when the other side closes the socket.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import descriptor_pool, message_factory

from prodml.errors import ServingError
from prodml.serving.rest_api import json_answers
from prodml.serving.rest_api.json_example_requests import Example, read_examples_body
from prodml.serving.rest_api.json_frames import (
    Buffer,
    Head,
    pack_arrays,
    receive_frame,
    send_frame,
    unpack_arrays,
)
from prodml.serving.rest_api.json_predict_requests import read_predict_body
from prodml.serving.values.data_types import Array, string_array

_EXAMPLE = "tensorflow.Example"
_NICENESS = 5
_GZIP_LEVEL = 1

Reply = tuple[Head, Sequence[Buffer]]


def main() -> None:
    # The server gets the CPU first, for small requests, and is killed last if memory runs out.
    os.nice(_NICENESS)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    with socket.socket(fileno=0) as connection:
        while True:
            try:
                head, buffers = receive_frame(connection)
            except EOFError:
                return
            send_frame(connection, *_answer(head, buffers))


def _answer(head: Head, buffers: list[Array]) -> Reply:
    try:
        return _JOBS[head["job"]](head, buffers)
    except ServingError as error:
        return {"error": [error.code, str(error)]}, []
    except MemoryError:
        return {"error": ["RESOURCE_EXHAUSTED", "there is not enough memory for the body"]}, []


def _predict(head: Head, buffers: list[Array]) -> Reply:
    parsed = read_predict_body(buffers.pop().data, head["types"], head["default_signature"])
    heads, packed = pack_arrays(parsed.inputs)
    reply = {
        "signature_name": parsed.signature_name,
        "has_rows": parsed.has_rows,
        "arrays": heads,
    }
    return reply, packed


def _examples(head: Head, buffers: list[Array]) -> Reply:
    parsed = read_examples_body(buffers.pop().data, _example_class(head["protos"]))
    heads, packed = pack_arrays({"examples": string_array(parsed.serialized())})
    return {"signature_name": parsed.signature_name, "arrays": heads}, packed


def _example_class(files: Sequence[str]) -> Callable[[], Example]:
    """Creates the class tf.Example from the serialized descriptors of its files, in this order."""
    pool: Any = descriptor_pool.DescriptorPool()
    for file in files:
        pool.AddSerializedFile(base64.b64decode(file))
    made: Callable[[], Example] = message_factory.GetMessageClass(
        pool.FindMessageTypeByName(_EXAMPLE)
    )
    return made


def _render(head: Head, buffers: list[Array]) -> Reply:
    text = json_answers.FORMS[head["form"]](unpack_arrays(head["arrays"], buffers)).encode()
    body = gzip.compress(text, _GZIP_LEVEL) if head["gzip"] else text
    heads, packed = pack_arrays({"text": np.frombuffer(body, np.uint8)})
    return {"arrays": heads}, packed


_JOBS: dict[str, Callable[[Head, list[Array]], Reply]] = {
    "predict": _predict,
    "examples": _examples,
    "render": _render,
}


if __name__ == "__main__":
    main()
