"""Bodies of REST answers, as TF Serving writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
from google.protobuf import json_format
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
    regression_pb2,
)

from prodml.serving.json_tensors import as_json, decimals, invalid
from prodml.serving.tensors import Array, to_array

_UNLIMITED = 1 << 62


def predictions(response: predict_pb2.PredictResponse) -> str:
    """The outputs row by row; an object a row where there are several.

    Raises:
        ServingError: the outputs do not have the same number of rows.
    """
    outputs = _arrays(response)
    rows = _rows(outputs)
    if len(outputs) == 1:
        ((name, output),) = outputs.items()
        return _body("predictions", as_json(output, name))
    names = [json.dumps(name) for name in outputs]
    items = []
    for row in range(rows):
        # A row of a one-dimensional string tensor is bytes, no array.
        values = (
            as_json(np.asarray(output[row], output.dtype), name) for name, output in outputs.items()
        )
        fields = (f"{name}: {value}" for name, value in zip(names, values, strict=True))
        items.append(f"{{{', '.join(fields)}}}")
    return _body("predictions", f"[{', '.join(items)}]")


def outputs(response: predict_pb2.PredictResponse) -> str:
    """The outputs column by column; without names where there is one."""
    arrays = _arrays(response)
    texts = {name: as_json(array, name) for name, array in arrays.items()}
    if len(texts) == 1:
        return _body("outputs", next(iter(texts.values())))
    fields = ",\n        ".join(f"{json.dumps(name)}: {text}" for name, text in texts.items())
    return _body("outputs", f"{{\n        {fields}\n    }}")


def classifications(response: classification_pb2.ClassificationResponse) -> str:
    """Pairs of label and score, a list a row."""
    found = response.result.classifications
    if not found:
        raise invalid("Cannot convert empty ClassificationResults to JSON")
    rows = []
    for row in found:
        scores = decimals(np.array([one.score for one in row.classes], np.float32))
        pairs = (
            f"[{json.dumps(one.label, ensure_ascii=False)}, {score}]"
            for one, score in zip(row.classes, scores, strict=True)
        )
        rows.append(f"[{', '.join(pairs)}]")
    return _body("results", f"[{', '.join(rows)}]")


def regressions(response: regression_pb2.RegressionResponse) -> str:
    """One number a row."""
    found = response.result.regressions
    if not found:
        raise invalid("Cannot convert empty RegressionResults to JSON")
    return _body("results", as_json(np.array([one.value for one in found], np.float32), ""))


def status(response: get_model_status_pb2.GetModelStatusResponse) -> str:
    """Where the versions of a model stand."""
    return str(json_format.MessageToJson(response, including_default_value_fields=True, indent=1))


def metadata(response: get_model_metadata_pb2.GetModelMetadataResponse) -> str:
    """The signatures of a version."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    spec, of_model = (
        json_format.MessageToDict(
            message, including_default_value_fields=True, preserving_proto_field_name=True
        )
        for message in (response.model_spec, signatures)
    )
    return json.dumps({"model_spec": spec, "metadata": {"signature_def": of_model}}, indent=1)


def error(message: str) -> str:
    """What went wrong."""
    return json.dumps({"error": message}, ensure_ascii=False)


def _arrays(response: predict_pb2.PredictResponse) -> dict[str, Array]:
    return {
        name: to_array(response.outputs[name], name, max_elements=_UNLIMITED)
        for name in sorted(response.outputs)
    }


def _rows(arrays: Mapping[str, Array]) -> int:
    if not arrays:
        raise invalid("Cannot convert empty tensor map to JSON")
    rows = 0
    for name, array in arrays.items():
        if not array.ndim:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if not len(array):
            raise invalid(f"Tensor name: {name} has invalid batch size: 0")
        if rows and len(array) != rows:
            raise invalid(
                f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {rows}"
            )
        rows = len(array)
    return rows


def _body(key: str, value: str) -> str:
    return f'{{\n    "{key}": {value}\n}}'
