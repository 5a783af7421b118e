"""Measures the latency of other clients while one sends the largest allowed requests in a loop."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hostile_client import KINDS, Attack
from load_generator import Load
from rich.console import Console
from rich.table import Table
from serving_subject import Server, Subject, run_load, serving

_CLIENT = Path(__file__).with_name("hostile_client.py")
_INTERVAL = 0.01
_WARM_UP_SECONDS = 1.0


@dataclass(frozen=True)
class Wait:
    """The latencies of the other clients, in milliseconds.

    Attributes:
        attack: what the hostile client sent; empty if it sent nothing.
        front_end: the front end that the other clients used.
        requests: number of requests of the other clients.
        p50: median of their latencies.
        p99: 99th percentile of their latencies.
        slowest: the longest of their latencies.
        failed: number of their requests that failed.
        attacks: number of answers to the hostile client, by status.
    """

    attack: str
    front_end: str
    requests: int
    p50: float
    p99: float
    slowest: float
    failed: int
    attacks: dict[str, int]


def made_summing_model(base_path: Path) -> Subject:
    """Saves a model that sums any number of floats."""
    import tensorflow as tf

    from prodml.serving.clients.grpc_messages import predict_request

    class Sum(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
        def answer(self, x: Any) -> Any:
            return {"y": tf.reduce_sum(x)[tf.newaxis]}

    model = Sum()
    tf.saved_model.save(model, str(base_path / "1"), {"serving_default": model.answer})
    row = np.ones(4, np.float32)
    request = predict_request("sum", {"x": row}).SerializeToString()
    return Subject("sum", base_path, {"x": row}, request, json.dumps({"inputs": row.tolist()}))


def waits(subject: Subject, seconds: float, scratch: Path, console: Console) -> list[Wait]:
    """Runs two other clients per front end, with a hundred requests per second each, without an
    attack and during each attack."""
    found = []
    for attack in ("", *KINDS):
        with serving(subject.name, subject.base_path, scratch) as server:
            with _attacking(attack, subject.name, server, seconds) as answers:
                loads = [_load(subject, server, seconds, name) for name in ("gRPC", "REST")]
                with ThreadPoolExecutor(2) as pool:
                    results = list(pool.map(run_load, loads))
            for name, result in zip(("gRPC", "REST"), results, strict=True):
                found.append(_wait(attack, name, result, answers))
                console.print(f"{found[-1]}", highlight=False, soft_wrap=True)
    return found


def print_waits(console: Console, found: list[Wait]) -> None:
    table = Table(title="Others, while one client sends back to back")
    for heading in ("it sends", "others by"):
        table.add_column(heading)
    for heading in ("p50 ms", "p99 ms", "slowest", "failed", "answers to it"):
        table.add_column(heading, justify="right")
    for wait in found:
        table.add_row(
            wait.attack or "nothing",
            wait.front_end,
            f"{wait.p50:.1f}",
            f"{wait.p99:.1f}",
            f"{wait.slowest:.0f}",
            f"{wait.failed}",
            ", ".join(f"{count} x {status}" for status, count in wait.attacks.items()),
        )
    console.print(table)


def _load(subject: Subject, server: Server, seconds: float, front_end: str) -> Load:
    return Load(
        server.port,
        server.rest_port,
        2 if front_end == "gRPC" else 0,
        2 if front_end == "REST" else 0,
        seconds,
        _WARM_UP_SECONDS,
        _INTERVAL,
        base64.b64encode(subject.grpc_request).decode(),
        f"/v1/models/{subject.name}:predict",
        subject.rest_body,
    )


@contextlib.contextmanager
def _attacking(kind: str, model: str, server: Server, seconds: float) -> Iterator[dict[str, int]]:
    """Starts a hostile client; the number of answers to it by status is complete on exit."""
    answers: dict[str, int] = {}
    if not kind:
        yield answers
        return
    attack = Attack(kind, server.port, server.rest_port, model, seconds + _WARM_UP_SECONDS)
    with subprocess.Popen(
        [sys.executable, str(_CLIENT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps(asdict(attack)) + "\n")
        process.stdin.flush()
        process.stdout.readline()
        process.stdin.write("\n")
        process.stdin.flush()
        yield answers
        answers.update(json.loads(process.stdout.readline()))


def _wait(attack: str, front_end: str, result: dict[str, Any], answers: dict[str, int]) -> Wait:
    took = np.array([sample for _, sample in result["samples"]]) * 1000
    p50, p99, slowest = np.percentile(took, [50, 99, 100])
    failed = len(result["failures"])
    return Wait(attack, front_end, len(took), p50, p99, slowest, failed, answers)
