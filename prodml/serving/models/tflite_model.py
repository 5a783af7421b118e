"""Loads and runs a TFLite model, `model.tflite` in a version directory, as TF Serving does.

Signatures and errors are those of `servables/tensorflow/tflite_session.cc`: a client of this server
also works with TF Serving.
"""

from __future__ import annotations

import logging
import os
import queue
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from prodml.errors import ServingError
from prodml.serving.models.tflite_signatures import read_signature_defs
from prodml.serving.values.data_types import Array
from prodml.serving.values.signatures import DEFAULT_SIGNATURE, PREDICT_METHOD

MODEL_FILE = "model.tflite"

log = logging.getLogger(__name__)


def load_tflite_model(version_dir: str, *, interpreters: int = 1) -> TfLiteModel:
    """Loads the TFLite model of a version.

    Args:
        version_dir: directory with `model.tflite`.
        interpreters: maximum number of concurrent calls; each has its own activations in memory.

    Raises:
        ServingError: there is no such model, it is damaged, or it has operations or types that TF
            Serving does not run.
    """
    path = os.path.join(version_dir, MODEL_FILE)
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise ServingError("NOT_FOUND", f"{path}; {error.strerror}") from error
    return TfLiteModel(content, interpreters)


class TfLiteModel:
    """A servable that runs a TFLite model in a pool of interpreters.

    Args:
        content: the flatbuffer.
        interpreters: maximum number of concurrent calls.

    Raises:
        ServingError: as for `load_tflite_model`.
    """

    def __init__(self, content: bytes, interpreters: int) -> None:
        self._content = content
        # First, because it checks the bytes: TFLite does not, and crashes on a half-copied file.
        signatures = read_signature_defs(content)
        first = _Interpreter(content)
        self._inputs, self._outputs = first.inputs, first.outputs
        self.signatures: Mapping[str, meta_graph_pb2.SignatureDef] = (
            {key: self._checked(signature) for key, signature in signatures.items()}
            if signatures
            else {DEFAULT_SIGNATURE: self._default_signature()}
        )
        self.signature_defs: Mapping[str, meta_graph_pb2.SignatureDef] = self.signatures
        # A call waits for a free interpreter. The last used one is first: its memory is in cache.
        self._pool: queue.LifoQueue[_Interpreter] = queue.LifoQueue()
        for interpreter in [first, *(_Interpreter(content) for _ in range(interpreters - 1))]:
            self._pool.put(interpreter)

    def run(self, feeds: Mapping[str, Array], fetches: Sequence[str]) -> list[Array]:
        values = {self._input(name): value for name, value in feeds.items()}
        outputs = [self._output(name) for name in fetches]
        for name in self._inputs:
            if name not in values:
                # The interpreter would use the previous request's value, another client's data.
                raise ServingError("INVALID_ARGUMENT", f"Missing input TFLite tensor: {name}")
        interpreter = self._pool.get()
        try:
            return interpreter.run(values, outputs)
        except ServingError:
            # Some of its tensors may already be resized.
            interpreter = _Interpreter(self._content)
            raise
        finally:
            self._pool.put(interpreter)

    def close(self) -> None:
        while not self._pool.empty():
            self._pool.get_nowait()

    def _input(self, name: str) -> str:
        known = _known(name, self._inputs)
        if known is None:
            raise ServingError(
                "INTERNAL", f"Unknown tensor '{name}'.\n\tMissing input TFLite tensor: {name}"
            )
        return known

    def _output(self, name: str) -> str:
        known = _known(name, self._outputs)
        if known is None:
            raise ServingError(
                "INTERNAL", f"Missing output TFLite tensor: {name}: Unknown tensor '{name}'."
            )
        return known

    def _checked(self, signature: meta_graph_pb2.SignatureDef) -> meta_graph_pb2.SignatureDef:
        for kind, infos, tensors in (
            ("input", signature.inputs, self._inputs),
            ("output", signature.outputs, self._outputs),
        ):
            for alias, info in infos.items():
                known = _known(info.name, tensors)
                if known is None:
                    raise ServingError(
                        "INTERNAL",
                        f"Unknown tensor '{info.name}'.\n\tSignature {kind} {alias} references an "
                        f"unknown tensor",
                    )
                info.name = known
        return signature

    def _default_signature(self) -> meta_graph_pb2.SignatureDef:
        """Builds a signature from the tensors' names, because TF Serving does not read TFLite's own
        signatures."""
        signature = meta_graph_pb2.SignatureDef(method_name=PREDICT_METHOD)
        for infos, tensors in (
            (signature.inputs, self._inputs),
            (signature.outputs, self._outputs),
        ):
            for name, tensor in sorted(tensors.items()):
                alias = _legacy_name(name)
                if alias in infos:
                    log.warning(
                        "The TFLite tensors %s and %s have the same name in TF Serving, which uses "
                        "only the second; store a SignatureDef in the model's metadata",
                        infos[alias].name,
                        name,
                    )
                infos[alias].CopyFrom(tensor.info)
        return signature


@dataclass(frozen=True)
class _Tensor:
    """An input or output of the model.

    Attributes:
        index: its index in the interpreter.
        info: its description in a signature.
        dtype: type of its values; object for strings.
        sizes: sizes of its dimensions; negative if any size is allowed.
    """

    index: int
    info: meta_graph_pb2.TensorInfo
    dtype: np.dtype[Any]
    sizes: tuple[int, ...]

    def accepts(self, shape: tuple[int, ...]) -> bool:
        # TFLite's operations do not check shapes: another number of channels, or an empty
        # dimension, can be a division by zero, which kills the process. TF Serving accepts such a
        # request. Dimensions of size 1 may be missing: models are converted for [1, 1] and called
        # with [1].
        if any(given == 0 for given in shape) or bool(shape) != bool(self.sizes):
            return False
        return _match(shape[1:], self.sizes[1:]) or _match(
            _without_ones(shape[1:]), _without_ones(self.sizes[1:])
        )


def _match(shape: tuple[int, ...], sizes: tuple[int, ...]) -> bool:
    return len(shape) == len(sizes) and all(
        size < 0 or given == size for given, size in zip(shape, sizes, strict=True)
    )


def _without_ones(sizes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in sizes if size != 1)


class _Interpreter:
    """One interpreter, used by one call at a time."""

    def __init__(self, content: bytes) -> None:
        try:
            # One thread, because requests run concurrently.
            self._interpreter = tf.lite.Interpreter(model_content=content, num_threads=1)
        except (ValueError, RuntimeError) as error:
            raise _failure("Cannot build Interpreter from buffer.", error) from error
        self.inputs = _tensors(self._interpreter.get_input_details(), "Input")
        self.outputs = _tensors(self._interpreter.get_output_details(), "Output")
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._allocate()

    def run(self, values: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        if any(self._shapes.get(name) != value.shape for name, value in values.items()):
            self._resize(values)
        try:
            for name, value in values.items():
                self._interpreter.set_tensor(self.inputs[name].index, value)
        except ValueError as error:
            raise ServingError("INVALID_ARGUMENT", str(error)) from error
        try:
            self._interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise _failure("Failed to invoke TfLite interpreter", error) from error
        return [self._interpreter.get_tensor(self.outputs[name].index) for name in outputs]

    def _resize(self, values: Mapping[str, Array]) -> None:
        for name, value in values.items():
            tensor = self.inputs[name]
            if not tensor.accepts(value.shape):
                raise ServingError(
                    "INVALID_ARGUMENT",
                    f"Failed to resize input tensor: {name} from {list(tensor.sizes)} to "
                    f"{list(value.shape)}",
                )
            self._interpreter.resize_tensor_input(tensor.index, value.shape)
        # Allocated once after all resizes: after some of them the shapes may not match.
        self._allocate()
        self._shapes = {name: value.shape for name, value in values.items()}

    def _allocate(self) -> None:
        try:
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise _failure("Failed to allocate tensors", error) from error


_NUMBERS_OF_TYPES_TF_SERVING_LACKS = {np.float16: 10, np.float64: 11, np.uint64: 13, np.uint32: 16}
_TYPES = {
    np.float32: types_pb2.DT_FLOAT,
    np.int32: types_pb2.DT_INT32,
    np.uint8: types_pb2.DT_UINT8,
    np.int64: types_pb2.DT_INT64,
    np.bytes_: types_pb2.DT_STRING,
    np.bool_: types_pb2.DT_BOOL,
    np.int16: types_pb2.DT_INT16,
    np.complex64: types_pb2.DT_COMPLEX64,
    np.int8: types_pb2.DT_INT8,
}


def _tensors(all_details: Sequence[Mapping[str, Any]], kind: str) -> dict[str, _Tensor]:
    tensors: dict[str, _Tensor] = {}
    for details in all_details:
        name, dtype = details["name"], details["dtype"]
        if not name:
            raise ServingError(
                "INTERNAL", f"{kind} name missing for tensor index: {details['index']}"
            )
        if name in tensors:
            raise ServingError("ALREADY_EXISTS", f"{kind} tensor name: {name} has multiple indices")
        if dtype not in _TYPES:
            number = _NUMBERS_OF_TYPES_TF_SERVING_LACKS.get(dtype, dtype)
            raise ServingError("INTERNAL", f"Unknown TfLite type: {number}")
        info = meta_graph_pb2.TensorInfo(name=name, dtype=_TYPES[dtype])
        info.tensor_shape.SetInParent()
        for size in details["shape"].tolist():
            info.tensor_shape.dim.add(size=size)
        tensors[name] = _Tensor(
            details["index"],
            info,
            np.dtype(object if dtype is np.bytes_ else dtype),
            tuple(details["shape_signature"].tolist()),
        )
    return tensors


def _known(name: str, tensors: Mapping[str, _Tensor]) -> str | None:
    """Returns the model's name of a tensor; early converters removed the `:0`."""
    return next((known for known in (name, _legacy_name(name)) if known in tensors), None)


def _legacy_name(name: str) -> str:
    return name.partition(":")[0]


def _failure(message: str, error: Exception) -> ServingError:
    # TF Serving sends no details to clients.
    log.debug("%s %s", message, error)
    return ServingError("INTERNAL", message)
