"""Checks requests against a model's signatures, as TF Serving does."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import input_pb2

from prodml.errors import ServingError
from prodml.serving.values.data_types import Array, string_array
from prodml.serving.values.example_context import with_context
from prodml.serving.values.tensors import Filled, to_array

DEFAULT_SIGNATURE = "serving_default"
PREDICT_METHOD = "tensorflow/serving/predict"
CLASSIFY_METHOD = "tensorflow/serving/classify"
REGRESS_METHOD = "tensorflow/serving/regress"
CLASSIFY_CLASSES, CLASSIFY_SCORES = "classes", "scores"
_EXAMPLES_INPUT = "inputs"
_REGRESS_OUTPUT = "outputs"


@dataclass(frozen=True)
class Call:
    """The call of the graph for one request.

    Attributes:
        feeds: values by tensor name.
        fetches: names of the tensors to compute.
        aliases: the signature's names of the fetches, in the same order.
        rows: number of examples, if the request carries examples.
    """

    feeds: Mapping[str, Array]
    fetches: tuple[str, ...]
    aliases: tuple[str, ...]
    rows: int = 0


@dataclass(frozen=True)
class Signature:
    """One signature, with the names of its tensors looked up.

    Attributes:
        key: its name in the SavedModel.
        method_name: `tensorflow/serving/predict`, `.../classify` or `.../regress`.
        inputs: tensor name by alias, in alphabetical order.
        input_types: data type by alias of the inputs, from TensorFlow's DataType.
        outputs: tensor name by alias, in alphabetical order.
        defaults: values of inputs that a request may omit, by alias.
        checks_method: whether a request must match the signature's method. TF2 writes the method of
            Predict into every signature.
    """

    key: str
    method_name: str
    inputs: Mapping[str, str]
    input_types: Mapping[str, int]
    outputs: Mapping[str, str]
    defaults: Mapping[str, Array]
    checks_method: bool

    @classmethod
    def of(
        cls, key: str, signature: meta_graph_pb2.SignatureDef, *, checks_method: bool = False
    ) -> Signature:
        return cls(
            key,
            signature.method_name,
            {alias: info.name for alias, info in sorted(signature.inputs.items())},
            {alias: info.dtype for alias, info in sorted(signature.inputs.items())},
            {alias: info.name for alias, info in sorted(signature.outputs.items())},
            {alias: to_array(value, alias) for alias, value in signature.defaults.items()},
            checks_method,
        )


def _check_predict_method(signature: Signature) -> None:
    allowed = (PREDICT_METHOD, CLASSIFY_METHOD, REGRESS_METHOD)
    if signature.checks_method and signature.method_name not in allowed:
        raise ServingError(
            "INTERNAL",
            f"Expected prediction signature method_name to be one of {{{', '.join(allowed)}}}. "
            f"Was: {signature.method_name}",
        )


def predict_call(
    signature: Signature,
    given: Mapping[str, tensor_pb2.TensorProto | Array],
    output_filter: Sequence[str],
    filled: Filled | None = None,
) -> Call:
    """Returns the call for a Predict request.

    Args:
        signature: the signature to run.
        given: the inputs of the request by alias.
        output_filter: aliases of the outputs to compute; empty for all.
        filled: counts the values that inputs declare by their shape but do not contain; by default
            for this request only.

    Raises:
        ServingError: the inputs, the output filter or the method do not match the signature.
    """
    _check_predict_method(signature)
    inputs = signature.inputs
    if len(given) != len(inputs) or not all(alias in given for alias in inputs):
        _check_inputs(given.keys(), signature)
    filled = filled or Filled()
    feeds = {
        tensor: _value(given[alias], alias, filled) if alias in given else signature.defaults[alias]
        for alias, tensor in inputs.items()
    }
    aliases = tuple(output_filter) or tuple(signature.outputs)
    if output_filter:
        _check_outputs(aliases, signature)
    return Call(feeds, tuple(signature.outputs[alias] for alias in aliases), aliases)


def examples_call(tensor: str, outputs: Mapping[str, str], examples: Sequence[bytes]) -> Call:
    """Returns the call for a request with tf.Examples.

    Args:
        tensor: name of the input tensor for serialized tf.Examples.
        outputs: tensor names by alias.
        examples: serialized tf.Examples.

    Raises:
        ServingError: there are no examples.
    """
    if not examples:
        raise ServingError("INVALID_ARGUMENT", "Input is empty.")
    return Call(
        {tensor: string_array(examples)}, tuple(outputs.values()), tuple(outputs), len(examples)
    )


def serialized_examples(request_input: input_pb2.Input) -> list[bytes]:
    """Returns the tf.Examples of a request, each merged with the context that they share.

    Raises:
        ServingError: the examples together would be too large.
    """
    kind = request_input.WhichOneof("kind")
    if kind == "example_list":
        return [e.SerializeToString() for e in request_input.example_list.examples]
    if kind == "example_list_with_context":
        both = request_input.example_list_with_context
        examples = [e.SerializeToString() for e in both.examples]
        return with_context(both.context.SerializeToString(), examples)
    return []


def classification_tensors(signature: Signature) -> tuple[str, dict[str, str]]:
    """Returns the name of the input tensor, and the tensor names of `classes` and `scores` if
    present.

    Raises:
        ServingError: the signature is not a classification signature.
    """
    _check_method(signature, "classification", CLASSIFY_METHOD)
    if len(signature.inputs) != 1:
        raise ServingError("INVALID_ARGUMENT", "Expected one input Tensor.")
    if len(signature.outputs) not in (1, 2):
        raise ServingError(
            "INVALID_ARGUMENT",
            f"Expected one or two output Tensors, found {len(signature.outputs)}",
        )
    tensor = _examples_tensor(signature, "classification")
    outputs = {
        alias: signature.outputs[alias]
        for alias in (CLASSIFY_CLASSES, CLASSIFY_SCORES)
        if alias in signature.outputs
    }
    if not outputs:
        raise ServingError(
            "INVALID_ARGUMENT",
            f"Expected classification signature outputs to contain at least one of "
            f'"{CLASSIFY_CLASSES}" or "{CLASSIFY_SCORES}". Signature was: {signature}',
        )
    return tensor, outputs


def regression_tensors(signature: Signature) -> tuple[str, dict[str, str]]:
    """Returns the name of the input tensor, and the name of the output tensor by its alias.

    Raises:
        ServingError: the signature is not a regression signature.
    """
    _check_method(signature, "regression", REGRESS_METHOD)
    for name, tensors in (("input", signature.inputs), ("output", signature.outputs)):
        if len(tensors) != 1:
            raise ServingError("INVALID_ARGUMENT", f"Expected one {name} Tensor.")
    tensor = _examples_tensor(signature, "regression")
    if _REGRESS_OUTPUT not in signature.outputs:
        raise ServingError(
            "INVALID_ARGUMENT", f"No regression outputs found in SignatureDef: {signature}"
        )
    return tensor, {_REGRESS_OUTPUT: signature.outputs[_REGRESS_OUTPUT]}


def _value(given: tensor_pb2.TensorProto | Array, alias: str, filled: Filled) -> Array:
    return given if isinstance(given, np.ndarray) else to_array(given, alias, filled)


def _check_method(signature: Signature, kind: str, expected: str) -> None:
    if signature.checks_method and signature.method_name != expected:
        raise ServingError(
            "INVALID_ARGUMENT",
            f"Expected {kind} signature method_name to be {expected}. Was: {signature.method_name}",
        )


def _examples_tensor(signature: Signature, kind: str) -> str:
    if _EXAMPLES_INPUT not in signature.inputs:
        raise ServingError(
            "INVALID_ARGUMENT", f"No {kind} inputs found in SignatureDef: {signature}"
        )
    return signature.inputs[_EXAMPLES_INPUT]


def _check_inputs(given: Collection[str], signature: Signature) -> None:
    extra = sorted(set(given) - signature.inputs.keys())
    missing = sorted(signature.inputs.keys() - set(given))
    if not extra and all(alias in signature.defaults for alias in missing):
        return
    if len(given) == len(signature.inputs):
        raise ServingError(
            "INVALID_ARGUMENT",
            f"input tensor alias not found in signature: {extra[0]}. Inputs expected to be in the "
            f"set {{{','.join(signature.inputs)}}}.",
        )
    raise ServingError(
        "INVALID_ARGUMENT",
        f"input size does not match signature: {len(given)}!={len(signature.inputs)} "
        f"len({{{','.join(sorted(given))}}}) != len({{{','.join(signature.inputs)}}}). "
        f"Sent extra: {{{','.join(extra)}}}. Missing but required: {{{','.join(missing)}}}.",
    )


def _check_outputs(aliases: Sequence[str], signature: Signature) -> None:
    seen = set()
    for alias in aliases:
        if alias not in signature.outputs:
            raise ServingError(
                "INVALID_ARGUMENT",
                f"output tensor alias not found in signature: {alias} Outputs expected to be in "
                f"the set {{{','.join(signature.outputs)}}}.",
            )
        if alias in seen:
            raise ServingError("INVALID_ARGUMENT", f"duplicate output tensor alias: {alias}")
        seen.add(alias)
