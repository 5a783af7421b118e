"""Writes bodies of REST answers to predict, classify and regress, as TF Serving does."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import numpy as np

from prodml.serving.rest_api.json_tensors import invalid
from prodml.serving.rest_api.json_writing import as_json, decimals
from prodml.serving.values.data_types import Array
from prodml.serving.values.error_texts import shortened


def predictions(outputs: Mapping[str, Array]) -> str:
    """Writes the outputs row by row; each row is an object if there are several outputs.

    Raises:
        ServingError: the outputs do not have the same number of rows.
    """
    arrays = dict(sorted(outputs.items()))
    rows = _rows(arrays)
    if len(arrays) == 1:
        ((name, output),) = arrays.items()
        return _body("predictions", as_json(output, name))
    names = [json.dumps(name) for name in arrays]
    items = []
    for row in range(rows):
        # A row of a one-dimensional string tensor is bytes, not an array.
        values = (
            as_json(np.asarray(output[row], output.dtype), name) for name, output in arrays.items()
        )
        fields = (f"{name}: {value}" for name, value in zip(names, values, strict=True))
        items.append(f"{{{', '.join(fields)}}}")
    return _body("predictions", f"[{', '.join(items)}]")


def outputs(outputs: Mapping[str, Array]) -> str:
    """Writes the outputs column by column; a single output has no name."""
    texts = {name: as_json(array, name) for name, array in sorted(outputs.items())}
    if len(texts) == 1:
        return _body("outputs", next(iter(texts.values())))
    fields = ",\n        ".join(f"{json.dumps(name)}: {text}" for name, text in texts.items())
    return _body("outputs", f"{{\n        {fields}\n    }}")


def classifications(outputs: Mapping[str, Array]) -> str:
    """Writes pairs of label and score, one list per row.

    Args:
        outputs: `classes`, `scores` or both, of shape [rows, classes].
    """
    classes, scores = outputs.get("classes"), outputs.get("scores")
    shape = (scores if classes is None else classes).shape  # type: ignore[union-attr]
    labels = (
        ['""'] * (shape[0] * shape[1])
        if classes is None
        else [
            json.dumps(label.decode("utf-8", errors="replace"), ensure_ascii=False)
            for label in classes.ravel()
        ]
    )
    values = ["0.0"] * len(labels) if scores is None else decimals(scores.ravel())
    pairs = [f"[{label}, {value}]" for label, value in zip(labels, values, strict=True)]
    width = shape[1]
    rows = (
        f"[{', '.join(pairs[start : start + width])}]"
        for start in range(0, shape[0] * width, width or 1)
    )
    return _body("results", f"[{', '.join(rows if width else ['[]'] * shape[0])}]")


def regressions(outputs: Mapping[str, Array]) -> str:
    """Writes one number per row.

    Args:
        outputs: one output, of shape [rows] or [rows, 1].
    """
    (output,) = outputs.values()
    return _body("results", as_json(output.ravel(), ""))


def error(message: str) -> str:
    """Writes an error message."""
    return json.dumps({"error": shortened(message)}, ensure_ascii=False)


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


FORMS: dict[str, Callable[[Mapping[str, Array]], str]] = {
    "predictions": predictions,
    "outputs": outputs,
    "classifications": classifications,
    "regressions": regressions,
}
"""Functions that write the outputs of a model, by name."""
