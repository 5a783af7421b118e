"""Builds requests from rows, as a client of the model would send them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from tensorflow_serving.apis import (
    classification_pb2,
    prediction_log_pb2,
    regression_pb2,
)

from prodml.artifacts import Examples
from prodml.components.infra_validator.component import RequestSpec
from prodml.data.examples_layout import payload_format, split_files
from prodml.data.record_batches import read_record_batches
from prodml.errors import InputDataError, ModelContractError
from prodml.serving.clients.grpc_client import GrpcClient
from prodml.serving.clients.grpc_messages import example_list, model_spec, predict_request
from prodml.serving.clients.signature_inputs import (
    complete_rows,
    serialized_examples,
    signature_inputs,
)
from prodml.serving.values.signatures import CLASSIFY_METHOD, DEFAULT_SIGNATURE, REGRESS_METHOD
from prodml.suggestions import suggest

_ROWS_SEARCHED = 1024
"""Number of rows that are searched for rows without missing values."""


def read_rows(examples: Examples, spec: RequestSpec) -> pa.RecordBatch:
    """The first rows of a split; more than requested, because some may have missing values.

    Raises:
        InputDataError: the split does not exist or has no rows.
    """
    split = spec.split_name or next(iter(examples.split_names), "")
    if split not in examples.split_names:
        raise InputDataError(
            f"split_name {split!r} is not a split of {examples.uri}"
            f"{suggest(split, examples.split_names)}"
        )
    size = max(spec.num_examples, _ROWS_SEARCHED)
    files = split_files(examples, split)
    for batch in read_record_batches(files, payload_format(examples), batch_size=size):
        if batch.num_rows:
            return batch
    raise InputDataError(f"split {split!r} of {examples.uri} has no rows to build requests from")


def build_requests(
    signatures: Mapping[str, Any], rows: pa.RecordBatch, spec: RequestSpec, model: str
) -> list[tuple[str, prediction_log_pb2.PredictionLog]]:
    """Builds one request per signature: pairs of the signature's name and a log without response.

    Args:
        signatures: all signatures of the model, by name, as the server reports them.
        rows: rows to send.
        spec: the signatures to call, and the number of rows.
        model: name that the model is served under.

    Raises:
        ModelContractError: the model lacks a signature, or the rows lack an input of a signature.
    """
    requests = []
    for name in spec.tensorflow_serving.signature_names or (DEFAULT_SIGNATURE,):
        if name not in signatures:
            raise ModelContractError(
                f"the model has no signature {name!r}{suggest(name, signatures)}; set "
                f"signature_names to one or more of {', '.join(sorted(signatures)) or 'none'}"
            )
        try:
            requests.append((name, _request(name, signatures[name], rows, spec, model)))
        except InputDataError as error:
            raise ModelContractError(f"signature {name!r} cannot be called: {error}") from error
    return requests


def send(
    client: GrpcClient, request: prediction_log_pb2.PredictionLog
) -> prediction_log_pb2.PredictionLog:
    """Sends a request, and returns it with its response.

    Raises:
        ServingError: the server rejected the request or failed to answer it.
    """
    log = prediction_log_pb2.PredictionLog()
    log.CopyFrom(request)
    kind = request.WhichOneof("log_type")
    if kind == "classify_log":
        classified = client.classify_proto(request.classify_log.request)
        log.classify_log.response.CopyFrom(classified)
    elif kind == "regress_log":
        log.regress_log.response.CopyFrom(client.regress_proto(request.regress_log.request))
    else:
        log.predict_log.response.CopyFrom(client.predict_proto(request.predict_log.request))
    return log


def row_count(request: prediction_log_pb2.PredictionLog) -> int:
    """Number of rows in a request; 0 if its inputs have no batch dimension."""
    kind = request.WhichOneof("log_type")
    if kind == "predict_log":
        tensors = request.predict_log.request.inputs.values()
        return max((t.tensor_shape.dim[0].size for t in tensors if t.tensor_shape.dim), default=0)
    return len(getattr(request, kind).request.input.example_list.examples)


def _request(
    name: str, signature: Any, rows: pa.RecordBatch, spec: RequestSpec, model: str
) -> prediction_log_pb2.PredictionLog:
    complete = complete_rows(signature, rows)
    if not complete.num_rows:
        raise InputDataError(
            f"none of the first {rows.num_rows} rows has a value in each of "
            f"{', '.join(sorted(signature.inputs))}"
        )
    sent = complete.slice(0, spec.num_examples)
    log = prediction_log_pb2.PredictionLog()
    if signature.method_name == CLASSIFY_METHOD:
        log.classify_log.request.CopyFrom(
            classification_pb2.ClassificationRequest(
                model_spec=model_spec(model, signature=name), input=_examples(sent)
            )
        )
    elif signature.method_name == REGRESS_METHOD:
        log.regress_log.request.CopyFrom(
            regression_pb2.RegressionRequest(
                model_spec=model_spec(model, signature=name), input=_examples(sent)
            )
        )
    else:
        inputs = signature_inputs(signature, sent)
        log.predict_log.request.CopyFrom(predict_request(model, inputs, signature=name))
    return log


def _examples(rows: pa.RecordBatch) -> Any:
    serialized: Sequence[bytes] = serialized_examples(rows)
    return example_list(serialized)
