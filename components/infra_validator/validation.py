"""One server, one model: does it load, live and answer?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa
from tensorflow_serving.apis import prediction_log_pb2

from prodml.components.infra_validator.answers import fault
from prodml.components.infra_validator.component import RequestSpec, ValidationSpec
from prodml.components.infra_validator.requests import build_requests, row_count, send
from prodml.errors import ServingError
from prodml.serving.clients.grpc_client import GrpcClient
from prodml.serving.processes.server_launchers import ServerLauncher
from prodml.serving.processes.server_process import ServerProcess


@dataclass(frozen=True)
class Candidate:
    """The model to validate.

    Attributes:
        name: that it is served under.
        base_path: directory with one numbered directory, the model.
        rows: what to ask about; None to load only.
        requests: how to ask.
        limits: time and memory.
        scratch: directory for what servers say.
    """

    name: str
    base_path: str
    rows: pa.RecordBatch | None
    requests: RequestSpec
    limits: ValidationSpec
    scratch: str


@dataclass(frozen=True)
class Finding:
    """What one server made of the model.

    Attributes:
        refusal: why the model must not be pushed; empty where it may.
        last_words: the server's own, where it is refused.
        is_wrong_answer: whether it was refused for what it answered.
        answered: requests with their responses.
    """

    refusal: str = ""
    last_words: str = ""
    is_wrong_answer: bool = False
    answered: Sequence[prediction_log_pb2.PredictionLog] = field(default=())


def validate(launcher: ServerLauncher, candidate: Candidate) -> Finding:
    """What a server made of the model; it is started again where that may help.

    Raises:
        ConfigError: there is no such server on this machine.
        ModelContractError: the model has no such signature, or one that the rows cannot feed.
    """
    for number in range(1, candidate.limits.num_tries + 1):
        finding = _validate_once(launcher, candidate, number)
        if not finding.refusal or finding.is_wrong_answer:
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
            return Finding(f"it was not loaded: {error}", process.last_words())
        if candidate.rows is None:
            return Finding()
        with GrpcClient(process.endpoint, limits.max_request_time_seconds) as client:
            return _ask(process, client, candidate, candidate.rows)


def _ask(
    process: ServerProcess, client: GrpcClient, candidate: Candidate, rows: pa.RecordBatch
) -> Finding:
    name = "its signatures"
    answered: list[prediction_log_pb2.PredictionLog] = []
    try:
        signatures = client.metadata(candidate.name)
        requests = build_requests(signatures, rows, candidate.requests, candidate.name)
        for name, request in requests:
            answered.append(send(client, request))
            wrong = fault(answered[-1], signatures[name], row_count(request))
            if wrong is not None:
                return Finding(f"signature {name!r}: {wrong}", "", True)
    except ServingError as error:
        try:
            process.check_after_failure(error)
        except ServingError as ended:
            return Finding(f"asked for {name!r}, {ended}", process.last_words())
        return Finding(f"signature {name!r}: {error.code}: {error}", "", True)
    return Finding(answered=answered)
