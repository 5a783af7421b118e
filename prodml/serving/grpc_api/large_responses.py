"""Serializes large gRPC answers in threads without blocking other requests.

Each step takes about a millisecond or releases the GIL, except the last copy. The bytes equal those
of `responses.py` except that repeated values come in pieces, which protobuf parsers merge.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import predict_pb2

from prodml.serving.calls.inference import Answer
from prodml.serving.calls.responses import fill_spec
from prodml.serving.values import wire_format
from prodml.serving.values.data_types import Array
from prodml.serving.values.tensors import fill_head, fill_values

_PIECE = 1 << 13
"""Maximum number of values that protobuf serializes in one step."""
_KEY, _VALUE = 1, 2
_OUTPUTS = predict_pb2.PredictResponse.DESCRIPTOR.fields_by_name["outputs"].number


def _number(field: str) -> int:
    number: int = tensor_pb2.TensorProto.DESCRIPTOR.fields_by_name[field].number
    return number


_CONTENT = _number("tensor_content")
_PACKED = {
    np.dtype(np.float32): _number("float_val"),
    np.dtype(np.float64): _number("double_val"),
    np.dtype(np.bool_): _number("bool_val"),
    np.dtype(np.complex64): _number("scomplex_val"),
    np.dtype(np.complex128): _number("dcomplex_val"),
}
"""Fields whose packed encoding equals the memory of an array."""


def write_predict_response(answer: Answer, *, as_content: bool) -> bytes:
    """Returns the serialized PredictResponse; the arguments are those of `predict_response`."""
    response = predict_pb2.PredictResponse()
    fill_spec(response.model_spec, answer)
    parts: list[wire_format.Bytes] = [response.SerializeToString()]
    for alias, output in answer.outputs.items():
        key = wire_format.length_field(_KEY, [alias.encode()])
        value = wire_format.length_field(_VALUE, list(_tensor(output, as_content)))
        parts += wire_format.length_field(_OUTPUTS, [*key, *value])
    return b"".join(parts)


def _tensor(array: Array, as_content: bool) -> Iterator[wire_format.Bytes]:
    head = tensor_pb2.TensorProto()
    fill_head(head, array)
    yield head.SerializeToString()
    field = _CONTENT if as_content and array.dtype != object else _PACKED.get(array.dtype)
    if field is not None:
        memory = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        yield from wire_format.length_field(field, [memory])
        return
    flat = array.ravel()
    for start in range(0, len(flat), _PIECE):
        piece = tensor_pb2.TensorProto()
        fill_values(piece, flat[start : start + _PIECE])
        yield piece.SerializeToString()
