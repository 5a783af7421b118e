"""The server under test: prodml's own, or the one that CONFORMANCE_SERVER names.

`make conformance SERVER=host:port` sets it; the server must serve what served.py writes.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

import grpc
import httpx
import pytest
from conformance.served import save_all
from support.running_server import channel_options, running_server
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc


@dataclass
class Server:
    """gRPC stubs and a REST client for the server under test."""

    channel: grpc.Channel
    rest: httpx.Client

    def __post_init__(self) -> None:
        self.predictions = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(self.channel)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with contextlib.ExitStack() as stack:
        address, rest = os.environ.get("CONFORMANCE_SERVER"), os.environ.get("CONFORMANCE_REST")
        if not address:
            root = tmp_path_factory.mktemp("conformance")
            own = stack.enter_context(running_server(root, *save_all(root)))
            address, rest = own.address, f"127.0.0.1:{own.rest_port}"
        rest = rest or f"{address.rpartition(':')[0]}:8501"
        channel = stack.enter_context(grpc.insecure_channel(address, channel_options()))
        client = stack.enter_context(httpx.Client(base_url=f"http://{rest}", timeout=30))
        yield Server(channel, client)
