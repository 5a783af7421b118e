"""Measures `prodml serve`: requests per second, latencies, and memory over many version swaps.

    make bench-serving
    .venv/bin/python tests/benchmarks/serving_load.py --soak 60
    .venv/bin/python tests/benchmarks/serving_load.py --hostile

Nothing else should run on the machine at the same time. Load generator and server share its cores:
the columns `server` and `clients` show how many cores each one used, and so which one is the limit.
"""

from __future__ import annotations

import base64
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from load_generator import Load
from rich.console import Console
from rich.table import Table
from serving_hostile import made_summing_model, print_waits, waits
from serving_soak import Soak, print_soak, soak
from serving_subject import (
    Server,
    Subject,
    echoing,
    flights,
    heavy,
    made_heavy_model,
    newest,
    run_load,
    serving,
)

REPOSITORY = Path(__file__).resolve().parents[2]
CLIENTS = [1, 8, 64]
_DIRECT_CALLS = 500
_ECHO = "bare grpc.aio"
_WARM_UP_SECONDS = 1.0
_BATCHING = """
max_batch_size { value: 64 }
batch_timeout_micros { value: 0 }
num_batch_threads { value: 2 }
max_enqueued_batches { value: 64 }
"""


@dataclass(frozen=True)
class Result:
    """The result of one load on a new server; latencies in milliseconds, CPU in cores."""

    model: str
    front_end: str
    batching: bool
    clients: int
    requests_per_second: float
    p50: float
    p99: float
    failed: int
    server_cpu: float
    client_cpu: float


@dataclass(frozen=True)
class Direct:
    """Median milliseconds of one call inside a process, without a server."""

    model: str
    session: float
    signature: float


def main(
    model_base_path: Annotated[
        Path, typer.Option(help="Flights model: the directory of its versions.")
    ] = REPOSITORY / ".prodml" / "serving" / "flights",
    seconds: Annotated[float, typer.Option(help="How long each load lasts.")] = 5.0,
    clients: Annotated[list[int], typer.Option(help="Concurrent clients; repeatable.")] = CLIENTS,
    soak_minutes: Annotated[
        float, typer.Option("--soak", help="Instead: constant load and a new version every 10 s.")
    ] = 0.0,
    hostile: Annotated[
        bool, typer.Option(help="Instead: latency of others while one client sends 64 MB bodies.")
    ] = False,
    output: Annotated[Path, typer.Option(help="JSON file for the results.")] = REPOSITORY
    / ".prodml"
    / "benchmarks"
    / "serving.json",
) -> None:
    """Measures the embedded model server."""
    console = Console()
    output.parent.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with tempfile.TemporaryDirectory() as scratch:
        if hostile:
            found_waits = waits(
                made_summing_model(Path(scratch) / "sum"), seconds, Path(scratch), console
            )
            print_waits(console, found_waits)
            output = output.with_stem(f"{output.stem}_hostile")
            findings: Mapping[str, Any] = {"waits": [asdict(wait) for wait in found_waits]}
        elif soak_minutes:
            subject = flights(model_base_path)
            found = soak(subject, soak_minutes * 60, Path(scratch))
            print_soak(console, found)
            output = output.with_stem(f"{output.stem}_soak")
            findings = asdict(found)
        else:
            subject = flights(model_base_path)
            big = heavy(made_heavy_model(Path(scratch) / "heavy"))
            direct = [direct_calls(each) for each in (subject, big)]
            results = []
            for each in (subject, big):
                results += loads(each, clients, seconds, Path(scratch), console)
            print_loads(console, results, direct)
            findings = {
                "loads": [asdict(result) for result in results],
                "direct": [asdict(each) for each in direct],
            }
    machine = {"cpus": os.cpu_count(), "python": platform.python_version()}
    output.write_text(json.dumps({"machine": machine, **findings}, indent=1))
    console.print(f"written to {output}", highlight=False)
    if soak_minutes and (isinstance(found, Soak) and found.failed):
        raise typer.Exit(1)


def loads(
    subject: Subject, clients: list[int], seconds: float, scratch: Path, console: Console
) -> list[Result]:
    """Returns one result per front end, number of clients, and batching off and on, and for a gRPC
    server that only sends answers."""
    parameters = scratch / "batching.txt"
    parameters.write_text(_BATCHING)
    with_batching = ("--enable_batching", f"--batching_parameters_file={parameters}")
    results = []
    for count in clients:
        with echoing() as server:
            results.append(_measured(subject, server, _ECHO, False, count, seconds))
            console.print(f"{results[-1]}", highlight=False, soft_wrap=True)
    for batching, front_end, count in (
        (b, f, c) for b in (False, True) for f in ("gRPC", "REST") for c in clients
    ):
        batching_options = with_batching if batching else ()
        with serving(subject.name, subject.base_path, scratch, *batching_options) as server:
            results.append(_measured(subject, server, front_end, batching, count, seconds))
            console.print(f"{results[-1]}", highlight=False, soft_wrap=True)
    return results


def _measured(
    subject: Subject, server: Server, front_end: str, batching: bool, count: int, seconds: float
) -> Result:
    load = Load(
        server.port,
        server.rest_port,
        0 if front_end == "REST" else count,
        count if front_end == "REST" else 0,
        seconds,
        _WARM_UP_SECONDS,
        0.0,
        base64.b64encode(subject.grpc_request).decode(),
        f"/v1/models/{subject.name}:predict",
        subject.rest_body,
    )
    before, clock = server.cpu_seconds(), time.monotonic()
    found = run_load(load)
    # The generator's start and warm-up are part of both, so this is a lower bound.
    server_cpu = (server.cpu_seconds() - before) / (time.monotonic() - clock)
    server_cpu *= (seconds + _WARM_UP_SECONDS + 1) / (seconds + _WARM_UP_SECONDS)
    if not found["samples"]:
        raise RuntimeError(f"no request was answered: {found['failures'][:1]}")
    took = np.array([s for _, s in found["samples"]]) * 1000
    return Result(
        subject.name,
        front_end,
        batching,
        count,
        len(took) / found["seconds"],
        float(np.percentile(took, 50)),
        float(np.percentile(took, 99)),
        len(found["failures"]),
        server_cpu,
        found["cpu"],
    )


def direct_calls(subject: Subject) -> Direct:
    """Times the same call in a session, as in the server, and by the loaded object's signature."""
    import tensorflow as tf

    from prodml.serving.models.saved_model import SavedModel

    version = newest(subject.base_path)
    model = SavedModel(version)
    signature = model.signatures["serving_default"]
    feeds = {signature.inputs[alias].name: value for alias, value in subject.inputs.items()}
    fetches = [info.name for info in signature.outputs.values()]
    loaded = tf.saved_model.load(version)
    function = loaded.signatures["serving_default"]
    tensors = {alias: tf.constant(value) for alias, value in subject.inputs.items()}
    return Direct(
        subject.name,
        _median_ms(lambda: model.run(feeds, fetches)),
        _median_ms(lambda: function(**tensors)),
    )


def _median_ms(call: Callable[[], object]) -> float:
    took = []
    for _ in range(_DIRECT_CALLS):
        started = time.perf_counter()
        call()
        took.append(time.perf_counter() - started)
    return statistics.median(took) * 1000


def print_loads(console: Console, results: list[Result], direct: list[Direct]) -> None:
    table = Table(title="Model server under load")
    for heading in ("model", "front end", "batching"):
        table.add_column(heading)
    for heading in (
        "clients",
        "requests/s",
        "a server core",
        "p50 ms",
        "p99 ms",
        "failed",
        "server",
        "clients' CPU",
    ):
        table.add_column(heading, justify="right")
    for r in results:
        table.add_row(
            r.model,
            r.front_end,
            "on" if r.batching else "off",
            f"{r.clients}",
            f"{r.requests_per_second:,.0f}",
            f"{r.requests_per_second / r.server_cpu:,.0f}",
            f"{r.p50:.2f}",
            f"{r.p99:.2f}",
            f"{r.failed}",
            f"{r.server_cpu:.2f}",
            f"{r.client_cpu:.2f}",
        )
    console.print(table)
    table = Table(title="One call in the process, p50 in ms, and what the server adds to it")
    for heading in ("model", "session", "TF2 signature", "gRPC adds", "REST adds"):
        table.add_column(heading, justify="right" if heading != "model" else "left")
    for one in direct:
        alone = {
            r.front_end: r.p50 - one.session
            for r in results
            if r.model == one.model and r.clients == 1 and not r.batching
        }
        table.add_row(
            one.model,
            f"{one.session:.3f}",
            f"{one.signature:.3f}",
            *(f"{alone[name]:.3f}" if name in alone else "" for name in ("gRPC", "REST")),
        )
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
