"""Checks that one server can load and serve one model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa
from tensorflow_serving.apis import prediction_log_pb2

from prodml.components.infra_validator.component import RequestSpec, ValidationSpec
from prodml.components.infra_validator.requests import build_requests, row_count, send
from prodml.components.infra_validator.responses import response_problem
from prodml.errors import ServingError
from prodml.serving.clients.grpc_client import GrpcClient
from prodml.serving.processes.server_launchers import ServerLauncher
from prodml.serving.processes.server_process import ServerProcess


@dataclass(frozen=True)
class Candidate:
    """The model to validate.

    Attributes:
        name: name that the model is served under.
        base_path: directory whose only version is the model.
        rows: rows to send; None to only load the model.
        requests: the requests to build.
        limits: limits of time and memory.
        scratch: directory for the servers' logs.
    """

    name: str
    base_path: str
    rows: pa.RecordBatch | None
    requests: RequestSpec
    limits: ValidationSpec
    scratch: str


@dataclass(frozen=True)
class Finding:
    """The result of validating the model in one server.

    Attributes:
        refusal: the reason why the model must not be pushed; empty if it may be pushed.
        log_tail: the last lines of the server's log; empty unless the server failed.
        is_wrong_response: whether the reason is a wrong response.
        answered: requests with their responses.
    """

    refusal: str = ""
    log_tail: str = ""
    is_wrong_response: bool = False
    answered: Sequence[prediction_log_pb2.PredictionLog] = field(default=())


def validate(launcher: ServerLauncher, candidate: Candidate) -> Finding:
    """Validates the model in a server; starts the server again unless a response was wrong.

    Raises:
        ConfigError: the server is not installed on this machine.
        ModelContractError: the model lacks a signature, or the rows lack an input of a signature.
    """
    for number in range(1, candidate.limits.num_tries + 1):
        finding = _validate_once(launcher, candidate, number)
        if not finding.refusal or finding.is_wrong_response:
            break
    return finding


def _validate_once(launcher: ServerLauncher, candidate: Candidate, number: int) -> Finding:
    limits = candidate.limits
    process = ServerProcess(
        launcher,
        candidate.name,
        candidate.base_path,
        os.path.join(candidate.scratch, f"server-{number}.log"),
        tags=candidate.requests.tensorflow_serving.tag_set or ("serve",),
        memory_limit_bytes=limits.max_memory_bytes,
    )
    with process:
        try:
            process.wait_until_available(limits.max_loading_time_seconds)
        except ServingError as error:
            return Finding(f"the model was not loaded: {error}", process.last_output())
        if candidate.rows is None:
            return Finding()
        with GrpcClient(process.endpoint, limits.max_request_time_seconds) as client:
            return _send_requests(process, client, candidate, candidate.rows)


def _send_requests(
    process: ServerProcess, client: GrpcClient, candidate: Candidate, rows: pa.RecordBatch
) -> Finding:
    name = "its signatures"
    answered: list[prediction_log_pb2.PredictionLog] = []
    try:
        signatures = client.metadata(candidate.name)
        requests = build_requests(signatures, rows, candidate.requests, candidate.name)
        for name, request in requests:
            answered.append(send(client, request))
            wrong = response_problem(answered[-1], signatures[name], row_count(request))
            if wrong is not None:
                return Finding(f"signature {name!r}: {wrong}", "", True)
    except ServingError as error:
        try:
            process.check_after_failure(error)
        except ServingError as ended:
            return Finding(f"on a request for {name!r}: {ended}", process.last_output())
        return Finding(f"signature {name!r}: {error.code}: {error}", "", True)
    return Finding(answered=answered)
