"""Runs constant load on the model server while a new version appears every few seconds."""

from __future__ import annotations

import base64
import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from load_generator import Load
from rich.console import Console
from rich.table import Table
from serving_subject import Subject, newest, run_load, serving

_SWAP_SECONDS = 10.0
_DURING_SWAP_SECONDS = 2.0
_INTERVAL = 0.01
_WARM_UP_SHARE = 0.25
_BARS = "▁▂▃▄▅▆▇█"
_BARS_SHOWN = 72


@dataclass(frozen=True)
class Soak:
    """The result of a soak test; memory in MiB, latencies in milliseconds.

    Attributes:
        requests: number of answered requests.
        failed: number of requests without an answer or with an error.
        errors: the first errors.
        swaps: number of versions that appeared.
        memory_by_second: resident memory.
        p99_by_second: latency of the requests that ended in each second; 0 if none did.
        growth_mb_per_hour: least-squares slope of memory after the warm-up, a quarter of the time.
        growth_mb_per_swap: the same slope per swap.
        first_tenth_mb: mean memory in the first tenth of the time after the warm-up.
        last_tenth_mb: mean memory in the last tenth.
        p99: latency of all requests.
        p99_during_swaps: latency in the two seconds after a version appeared.
        p99_between_swaps: latency in the rest of the time.
        slowest: the longest latency of all requests.
    """

    requests: int
    failed: int
    errors: list[str]
    swaps: int
    memory_by_second: list[float]
    p99_by_second: list[float]
    growth_mb_per_hour: float
    growth_mb_per_swap: float
    first_tenth_mb: float
    last_tenth_mb: float
    p99: float
    p99_during_swaps: float
    p99_between_swaps: float
    slowest: float


def soak(subject: Subject, seconds: float, scratch: Path) -> Soak:
    """Runs two gRPC clients and two REST clients with a hundred requests per second each."""
    versions = scratch / "versions"
    source = newest(subject.base_path)
    shutil.copytree(source, versions / "1")
    with serving(subject.name, versions, scratch) as server:
        load = Load(
            server.port,
            server.rest_port,
            2,
            2,
            seconds,
            0.0,
            _INTERVAL,
            base64.b64encode(subject.grpc_request).decode(),
            f"/v1/models/{subject.name}:predict",
            subject.rest_body,
        )
        findings: list[dict[str, list]] = []
        loading = threading.Thread(target=lambda: findings.append(run_load(load)))
        began = time.time()
        loading.start()
        memory, swapped = [], []
        while loading.is_alive():
            memory.append(server.resident_mb())
            if time.time() - began >= _SWAP_SECONDS * (len(swapped) + 1):
                number = len(swapped) + 2
                shutil.copytree(source, versions / "copying")
                (versions / "copying").rename(versions / f"{number}")
                swapped.append(time.time())
                shutil.rmtree(versions / f"{number - 2}", ignore_errors=True)
            time.sleep(max(0.0, began + len(memory) - time.time()))
        loading.join()
    return _summary(findings[0], memory, swapped, began)


def _summary(
    found: dict[str, list], memory: list[float], swapped: list[float], began: float
) -> Soak:
    if not found["samples"]:
        raise RuntimeError(f"no request was answered: {found['failures'][:1]}")
    ended, took = np.array(found["samples"]).T
    took = took * 1000
    during = np.zeros(len(ended), bool)
    for moment in swapped:
        during |= (ended >= moment) & (ended < moment + _DURING_SWAP_SECONDS)
    by_second = [took[(ended - began).astype(int) == second] for second in range(len(memory))]
    steady = np.array(memory[int(len(memory) * _WARM_UP_SHARE) :])
    slope = float(np.polyfit(np.arange(len(steady)), steady, 1)[0])
    tenth = max(1, len(steady) // 10)
    return Soak(
        len(took),
        len(found["failures"]),
        found["failures"][:10],
        len(swapped),
        memory,
        [_p99(part) for part in by_second],
        slope * 3600,
        slope * _SWAP_SECONDS,
        float(steady[:tenth].mean()),
        float(steady[-tenth:].mean()),
        _p99(took),
        _p99(took[during]),
        _p99(took[~during]),
        float(took.max()),
    )


def _p99(values: np.ndarray) -> float:
    return float(np.percentile(values, 99)) if len(values) else 0.0


def print_soak(console: Console, found: Soak) -> None:
    table = Table(title=f"{len(found.memory_by_second)} s of load with {found.swaps} swaps")
    table.add_column("measured")
    table.add_column("value", justify="right")
    for name, value in (
        ("requests answered", f"{found.requests:,}"),
        ("requests failed", f"{found.failed:,}"),
        ("p99 between swaps", f"{found.p99_between_swaps:.1f} ms"),
        ("p99 during swaps", f"{found.p99_during_swaps:.1f} ms"),
        ("slowest", f"{found.slowest:.1f} ms"),
        ("memory, first tenth", f"{found.first_tenth_mb:.0f} MiB"),
        ("memory, last tenth", f"{found.last_tenth_mb:.0f} MiB"),
        ("memory grows, an hour", f"{found.growth_mb_per_hour:+.0f} MiB"),
        ("memory grows, a swap", f"{found.growth_mb_per_swap:+.2f} MiB"),
    ):
        table.add_row(name, value)
    console.print(table)
    for error in found.errors:
        console.print(error, style="red", markup=False)
    console.print(f"memory  {_sparkline(found.memory_by_second)}", highlight=False)
    console.print(f"p99     {_sparkline(found.p99_by_second)}", highlight=False)


def _sparkline(values: list[float]) -> str:
    parts = [p.max() for p in np.array_split(values, min(_BARS_SHOWN, len(values)))]
    low, high = min(parts), max(parts)
    bars = [_BARS[int((v - low) / ((high - low) or 1) * (len(_BARS) - 1))] for v in parts]
    return f"{''.join(bars)}  {low:.0f} to {high:.0f}"
