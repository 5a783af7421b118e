"""A pool of Python workers for Beam's EXTERNAL environment, of this Python.

    PYTHONPATH=tests python -m clusters.worker_pool HOST PORT

Beam has a pool (`worker_pool_main`), but that one listens on all interfaces, starts the `python` of
PATH, and never reads the output of its workers, so a worker that prints more than a pipe holds
stops for ever.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc


class WorkerPool(beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolServicer):  # type: ignore[misc]
    """Starts a process per worker that a runner asks for, and ends it on request."""

    def __init__(self) -> None:
        self._workers: dict[str, subprocess.Popen[bytes]] = {}

    def StartWorker(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._workers[request.worker_id] = subprocess.Popen(
            [
                *(sys.executable, "-m", "clusters.worker", request.worker_id),
                *(request.control_endpoint.url, request.logging_endpoint.url),
                request.provision_endpoint.url,
            ],
            stdin=subprocess.DEVNULL,
        )
        print(f"started worker {request.worker_id}", flush=True)
        return beam_fn_api_pb2.StartWorkerResponse()

    def StopWorker(self, request: Any, context: grpc.ServicerContext) -> Any:
        worker = self._workers.pop(request.worker_id, None)
        if worker is not None:
            worker.terminate()
            worker.wait()
            print(f"stopped worker {request.worker_id}", flush=True)
        return beam_fn_api_pb2.StopWorkerResponse()


def main(host: str, port: str) -> None:
    """Serves until SIGTERM."""
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    # Idle connections of runners send pings; without these options the server closes them.
    pings = [("grpc.http2.max_pings_without_data", 0), ("grpc.http2.max_ping_strikes", 0)]
    # Without SO_REUSEPORT, a second pool on the port fails instead of receiving half the calls.
    options = [*pings, ("grpc.so_reuseport", 0)]
    server = grpc.server(ThreadPoolExecutor(8), options=options)
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(WorkerPool(), server)
    server.add_insecure_port(f"{host}:{port}")
    server.start()
    print(f"listens on {host}:{port}", flush=True)
    ended.wait()
    server.stop(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
