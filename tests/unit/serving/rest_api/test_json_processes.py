from __future__ import annotations

import asyncio
import gzip
import json
import os
import resource
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from prodml.errors import ServingError
from prodml.serving.rest_api import json_answers
from prodml.serving.rest_api.json_processes import JsonProcesses
from prodml.serving.values.data_types import DataType, string_array

TYPES = {"serving_default": {"x": DataType.FLOAT}, "named": {"n": DataType.INT64, "s": 7}}


def with_processes(ask: Callable[[JsonProcesses], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        processes = JsonProcesses()
        try:
            return await ask(processes)
        finally:
            await asyncio.to_thread(processes.close)

    return asyncio.run(run())


def test_a_process_that_cannot_start_fails_one_request_and_is_started_by_the_next():
    body = [b'{"instances": [1.5]}']

    async def ask(processes: JsonProcesses) -> Any:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        try:
            with pytest.raises(ServingError, match="cannot be started") as caught:
                await processes.read_predict(body, TYPES)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert caught.value.code == "RESOURCE_EXHAUSTED"
        return await processes.read_predict(body, TYPES)

    assert with_processes(ask).inputs["x"].tolist() == [1.5]


def test_a_body_in_parts_becomes_arrays():
    body = [b'{"signature_name": "named", "instances": [{"n": 1, "s', b'": "\xc3\xa9"}]}']
    asked = with_processes(lambda processes: processes.read_predict(body, TYPES))
    assert (asked.signature_name, asked.has_rows) == ("named", True)
    assert asked.inputs["n"].tolist() == [1]
    assert asked.inputs["s"].tolist() == ["é".encode()]


def test_examples_come_serialized_with_their_context():
    body = b'{"context": {"c": "k"}, "examples": [{"x": [1.5, 2.5]}, {"n": 3}]}'
    name, examples = with_processes(lambda processes: processes.read_examples([body]))
    first, second = map(tf.train.Example.FromString, examples)
    assert name == ""
    assert first.features.feature["x"].float_list.value == [1.5, 2.5]
    assert second.features.feature["n"].int64_list.value == [3]
    assert second.features.feature["c"].bytes_list.value == [b"k"]


@pytest.mark.parametrize(
    ("form", "outputs"),
    [
        ("predictions", {"a": np.array([1.5, 2.5], np.float32), "b": np.array([True, False])}),
        ("outputs", {"a_bytes": string_array([b"\xff", b""])}),
        (
            "classifications",
            {"classes": string_array([b"p", b"q"]).reshape(1, 2), "scores": np.ones((1, 2))},
        ),
        ("regressions", {"outputs": np.ones((3, 1), np.float32)}),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_an_answer_is_written_as_it_is_in_the_server(form, outputs, packed):
    body = with_processes(lambda processes: processes.render(form, outputs, packed=packed))
    text = gzip.decompress(body) if packed else bytes(body)
    assert text.decode() == json_answers.FORMS[form](outputs)
    json.loads(text)


def test_an_error_of_the_body_is_raised_here():
    with pytest.raises(ServingError, match="Missing 'inputs' or 'instances' key") as caught:
        with_processes(lambda processes: processes.read_predict([b"{}"], TYPES))
    assert caught.value.code == "INVALID_ARGUMENT"


def test_a_process_that_was_killed_is_replaced():
    async def ask(processes: JsonProcesses) -> Any:
        body = [b'{"instances": [1.0]}']
        await processes.read_predict(body, TYPES)
        os.kill(processes._lanes[0]._process.pid, signal.SIGKILL)
        processes._lanes[0]._process.wait()
        return await processes.read_predict(body, TYPES)

    assert with_processes(ask).inputs["x"].tolist() == [1.0]


def test_a_body_that_kills_the_process_fails_its_request_only():
    async def ask(processes: JsonProcesses) -> Any:
        body = [b'{"instances": [1.0]}']
        await processes.read_predict(body, TYPES)
        pid = processes._lanes[0]._process.pid
        resource.prlimit(pid, resource.RLIMIT_AS, (1, 1))
        with pytest.raises(ServingError, match="has ended") as caught:
            await processes.read_predict([b'{"instances": [', b"1.0," * 200_000, b"1.0]}"], TYPES)
        assert caught.value.code == "RESOURCE_EXHAUSTED"
        return await processes.read_predict(body, TYPES)

    assert with_processes(ask).inputs["x"].tolist() == [1.0]
