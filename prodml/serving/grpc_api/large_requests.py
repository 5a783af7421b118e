"""Parses large gRPC requests in threads without blocking other requests.

Each step takes about a millisecond or releases the GIL. The result is the same as that of
protobuf's own parser and `tensors.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
from google.protobuf.message import DecodeError, Message
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import input_pb2, predict_pb2

from prodml.serving.values import wire_format
from prodml.serving.values.data_types import Array, aligned_empty, string_array
from prodml.serving.values.example_context import with_context
from prodml.serving.values.tensors import Filled, TensorHead

_PIECE = 1 << 14
"""Maximum bytes that protobuf parses in one step."""
_MOST_FIELDS = 100_000
"""Maximum fields of a message, counting adjacent values once: parsing a field of two bytes takes
a hundred times its size in memory."""
_LARGEST_REST = 1 << 20
"""Maximum bytes of a message without its values."""

ExamplesRequestT = TypeVar("ExamplesRequestT", bound=Message)


def _number(message: type[Message], field: str) -> int:
    number: int = message.DESCRIPTOR.fields_by_name[field].number
    return number


_INPUTS = _number(predict_pb2.PredictRequest, "inputs")
_KEY, _VALUE = 1, 2
_CONTENT = _number(tensor_pb2.TensorProto, "tensor_content")
_VALUES = {
    field.number: field.name
    for field in tensor_pb2.TensorProto.DESCRIPTOR.fields
    if field.name.endswith("_val")
}
_FIXED_WIDTH = {
    "float_val": np.float32,
    "scomplex_val": np.float32,
    "double_val": np.float64,
    "dcomplex_val": np.float64,
}
"""Fields whose packed encoding equals the memory of an array."""
_INPUT = 2
"""Field number in ClassificationRequest, RegressionRequest and MultiInferenceRequest."""
_EXAMPLE_LIST = _number(input_pb2.Input, "example_list")
_WITH_CONTEXT = _number(input_pb2.Input, "example_list_with_context")
_EXAMPLES = _number(input_pb2.ExampleList, "examples")
_CONTEXT = _number(input_pb2.ExampleListWithContext, "context")


def read_predict_request(
    message: bytes, filled: Filled | None = None
) -> tuple[predict_pb2.PredictRequest, dict[str, Array]]:
    """Parses a Predict request; returns the request without its inputs, and the inputs.

    Args:
        message: the serialized request.
        filled: counts the values that inputs declare by their shape but do not contain; by default
            for this request only.

    Raises:
        DecodeError: the message is not a PredictRequest, or has thousands of fields.
        ServingError: TensorFlow would not parse an input.
    """
    view = memoryview(message)
    rest, tensors = _Rest(view), {}
    for number, wire_type, start, value, end in wire_format.fields(view):
        if number == _INPUTS and wire_type == wire_format.LENGTH:
            alias, tensor = _read_entry(view[value:end])
            # If several entries have the same key, the last one wins.
            tensors[alias] = tensor
            rest.count()
        else:
            rest.add(start, end)
    request = predict_pb2.PredictRequest.FromString(rest.joined())
    filled = filled or Filled()
    return request, {
        alias: _read_tensor(tensor, alias, filled) for alias, tensor in tensors.items()
    }


def read_examples_request(
    kind: type[ExamplesRequestT], message: bytes
) -> tuple[ExamplesRequestT, list[bytes]]:
    """Parses a Classify, Regress or MultiInference request; returns it without its input, and the
    examples.

    Raises:
        DecodeError: the message is not such a request, or has thousands of fields.
        ServingError: the examples, each with the context, would be too large.
    """
    view = memoryview(message)
    rest, lists = _Rest(view), []
    for number, wire_type, start, value, end in wire_format.fields(view):
        if number == _INPUT and wire_type == wire_format.LENGTH:
            lists += _read_lists(view[value:end])
            rest.count()
        else:
            rest.add(start, end)
    request = kind.FromString(rest.joined())
    if not lists:
        return request, []
    # `Input.kind` is a oneof: the last kind wins, with all its parts merged.
    of_kind = [part for number, part in lists if number == lists[-1][0]]
    contexts, examples = [], []
    for part in of_kind:
        for number, wire_type, _, value, end in wire_format.fields(part):
            if wire_type == wire_format.LENGTH and number == _EXAMPLES:
                examples.append(bytes(part[value:end]))
            elif wire_type == wire_format.LENGTH and number == _CONTEXT:
                contexts.append(part[value:end])
    if lists[-1][0] == _WITH_CONTEXT:
        # Concatenated serialized messages are the merged message.
        examples = with_context(b"".join(contexts), examples)
    return request, examples


class _Rest:
    """The fields of a message that protobuf's own parser reads."""

    def __init__(self, message: memoryview) -> None:
        self._message = message
        self._parts: list[memoryview] = []
        self._fields = self._size = 0

    def add(self, start: int, end: int) -> None:
        self.count()
        self._size += end - start
        if self._size > _LARGEST_REST:
            raise DecodeError(f"a message has more than {_LARGEST_REST} bytes besides its values")
        self._parts.append(self._message[start:end])

    def count(self) -> None:
        self._fields += 1
        if self._fields > _MOST_FIELDS:
            raise DecodeError(f"a message has more than {_MOST_FIELDS} fields")

    def joined(self) -> bytes:
        return b"".join(self._parts)


def _read_entry(entry: memoryview) -> tuple[str, memoryview]:
    """Returns key and value of an entry of `inputs`."""
    key, values = memoryview(b""), []
    for number, wire_type, _, value, end in wire_format.fields(entry):
        if number == _KEY and wire_type == wire_format.LENGTH:
            key = entry[value:end]
        elif number == _VALUE and wire_type == wire_format.LENGTH:
            values.append(entry[value:end])
            if len(values) > _MOST_FIELDS:
                raise DecodeError("an input has too many parts")
    try:
        alias = bytes(key).decode()
    except UnicodeDecodeError:
        raise DecodeError("the name of an input is not UTF-8 text") from None
    return alias, values[0] if len(values) == 1 else memoryview(b"".join(values))


def _read_lists(message: memoryview) -> list[tuple[int, memoryview]]:
    """Returns field numbers and values of the lists of examples in an Input."""
    lists = []
    for number, wire_type, _, value, end in wire_format.fields(message):
        if wire_type == wire_format.LENGTH and number in (_EXAMPLE_LIST, _WITH_CONTEXT):
            lists.append((number, message[value:end]))
            if len(lists) > _MOST_FIELDS:
                raise DecodeError("an input has too many lists of examples")
    return lists


def _read_tensor(tensor: memoryview, alias: str, filled: Filled) -> Array:
    rest, content, runs = _Rest(tensor), memoryview(b""), _Runs()
    for number, wire_type, start, value, end in wire_format.fields(tensor):
        if number == _CONTENT and wire_type == wire_format.LENGTH:
            content = tensor[value:end]
            rest.count()
        elif number in _VALUES:
            runs.add(number, wire_type, start, value, end)
        else:
            rest.add(start, end)
    head = TensorHead.of(tensor_pb2.TensorProto.FromString(rest.joined()), alias)
    if content and head.dtype != object:
        return head.of_content(_copied(content, np.dtype(np.uint8)))
    arrays = [array for run in runs for array in _read_run(tensor, run, head)]
    raw = _joined(arrays or [head.raw(tensor_pb2.TensorProto())])
    return head.of_values(head.decode(raw), filled)


class _Runs:
    """Groups adjacent value fields so that each group is parsed in one step; a large field is a
    group of its own."""

    def __init__(self) -> None:
        self._runs: list[wire_format.Field] = []

    def add(self, number: int, wire_type: int, start: int, value: int, end: int) -> None:
        if self._runs:
            last_number, _, last_start, _, last_end = self._runs[-1]
            is_next = number == last_number and start == last_end
            if is_next and end - last_start <= _PIECE:
                # -1 instead of a wire type: the run has more than one field.
                self._runs[-1] = (number, -1, last_start, last_start, end)
                return
        self._runs.append((number, wire_type, start, value, end))
        if len(self._runs) > _MOST_FIELDS:
            raise DecodeError("a tensor has values in too many places")

    def __iter__(self) -> Iterator[wire_format.Field]:
        return iter(self._runs)


def _read_run(tensor: memoryview, run: wire_format.Field, head: TensorHead) -> Iterator[Array]:
    number, wire_type, start, value, end = run
    name = _VALUES[number]
    if name != head.field:
        return
    if wire_type != wire_format.LENGTH or end - value <= _PIECE:
        yield _parsed(tensor[start:end], head)
        return
    content = tensor[value:end]
    if head.dtype == object:
        yield string_array([bytes(content)])
    elif name in _FIXED_WIDTH:
        yield _copied(content, np.dtype(_FIXED_WIDTH[name]))
    elif name == "bool_val" and np.frombuffer(content, np.uint8).max() <= 1:
        yield _copied(content, np.dtype(np.bool_))
    else:
        for piece in wire_format.packed_pieces(content, _PIECE):
            yield _parsed(b"".join(wire_format.length_field(number, [piece])), head)


def _copied(content: memoryview, dtype: np.dtype[Any]) -> Array:
    """Copies content into an aligned array; numpy releases the GIL while it copies."""
    if len(content) % dtype.itemsize:
        raise DecodeError("a tensor ends within a number")
    aligned = aligned_empty(len(content))
    np.copyto(aligned, np.frombuffer(content, np.uint8))
    return aligned.view(dtype)


def _parsed(message: wire_format.Bytes, head: TensorHead) -> Array:
    return head.raw(tensor_pb2.TensorProto.FromString(bytes(message)))


def _joined(arrays: list[Array]) -> Array:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
