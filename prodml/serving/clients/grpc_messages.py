"""Writes the gRPC messages of requests, and reads those of responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tensorflow_serving.apis import input_pb2, model_pb2, predict_pb2

from prodml.serving.values.data_types import Array, string_array
from prodml.serving.values.tensors import to_array, to_content_proto
from prodml.serving.values.wire_format import length_field


def predict_request(
    model: str,
    inputs: Mapping[str, Any],
    *,
    version: int | None = None,
    label: str | None = None,
    signature: str = "",
    outputs: Sequence[str] = (),
) -> predict_pb2.PredictRequest:
    """Returns a request as `GrpcClient.predict` sends it."""
    return predict_pb2.PredictRequest(
        model_spec=model_spec(model, version, label, signature),
        inputs={name: to_content_proto(as_array(value)) for name, value in inputs.items()},
        output_filter=outputs,
    )


def arrays(response: predict_pb2.PredictResponse) -> dict[str, Array]:
    """Returns the outputs of a response by name; strings as bytes in object arrays."""
    return {name: to_array(tensor, name) for name, tensor in response.outputs.items()}


def as_array(value: Any) -> Array:
    """Converts a value to an array for a TensorProto; str becomes bytes in an object array."""
    array = np.asarray(value)
    if not isinstance(value, np.ndarray) and array.dtype.kind == "S":
        # Otherwise numpy drops trailing zero bytes.
        array = np.asarray(value, dtype=object)
    if array.dtype.kind not in "SUO":
        return array
    texts = [v.encode() if isinstance(v, str) else v for v in array.ravel().tolist()]
    return string_array(texts).reshape(array.shape)


def model_spec(
    model: str, version: int | None = None, label: str | None = None, signature: str = ""
) -> model_pb2.ModelSpec:
    """Returns a ModelSpec with model, version or label, and signature.

    Raises:
        ValueError: both a version and a label are set.
    """
    if version is not None and label is not None:
        raise ValueError("a version and a label exclude each other")
    spec = model_pb2.ModelSpec(name=model, signature_name=signature)
    if version is not None:
        spec.version.value = version
    elif label is not None:
        spec.version_label = label
    return spec


def example_list(examples: Sequence[bytes]) -> input_pb2.Input:
    """Returns serialized tf.Examples as the input of Classify and Regress."""
    return input_pb2.Input(
        example_list=input_pb2.ExampleList.FromString(
            # Without parsing: an ExampleList is its examples, each after its tag and length.
            b"".join(part for each in examples for part in length_field(1, [each]))
        )
    )
