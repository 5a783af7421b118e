"""Writes tensors as JSON, as TF Serving does (`util/json_tensor.cc`)."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import numpy as np

from prodml.serving.rest_api.json_tensors import BASE64, invalid
from prodml.serving.values.data_types import Array


def as_json(array: Array, name: str) -> str:
    """Writes a tensor as JSON text.

    Args:
        array: the tensor; strings are bytes.
        name: name of the output; its strings are written in base64 if the name ends in `_bytes`.

    Raises:
        ServingError: JSON cannot represent such values.
    """
    writers: dict[str, Callable[[Array], list[str]]] = {
        "f": decimals,
        "i": lambda values: [str(value) for value in values.tolist()],
        "u": lambda values: [str(value) for value in values.tolist()],
        "b": lambda values: ["true" if value else "false" for value in values.tolist()],
        "O": _base64_objects if name.endswith("_bytes") else _strings,
    }
    check_writable(array)
    return _nested(writers[array.dtype.kind](array.ravel()), array.shape)


def check_writable(array: Array) -> None:
    """Checks that JSON can represent values of an array's type.

    Raises:
        ServingError: JSON cannot represent them.
    """
    if array.dtype.kind not in "fiubO" or array.dtype == np.float16:
        name = "half" if array.dtype == np.float16 else array.dtype.name
        raise invalid(f"Failed to write JSON value for tensor type: {name}")


def decimals(values: Array) -> list[str]:
    """Formats numbers with six digits if those are exact, or else with enough digits to identify
    the number; integers end in `.0`."""
    digits = 9 if values.dtype == np.float32 else 17
    short = [f"{value:.6g}" for value in values.tolist()]
    is_exact = np.array(short, values.dtype) == values
    texts = []
    for text, exact, value in zip(short, is_exact.tolist(), values.tolist(), strict=True):
        if value != value:
            texts.append("NaN")
        elif value in (float("inf"), float("-inf")):
            texts.append("Infinity" if value > 0 else "-Infinity")
        else:
            decimal = text if exact else f"{value:.{digits}g}"
            texts.append(decimal if "." in decimal or "e" in decimal else f"{decimal}.0")
    return texts


def _strings(values: Array) -> list[str]:
    return [
        json.dumps(value.decode("utf-8", errors="replace"), ensure_ascii=False) for value in values
    ]


def _base64_objects(values: Array) -> list[str]:
    return [f'{{"{BASE64}": "{base64.b64encode(value).decode()}"}}' for value in values]


def _nested(texts: list[str], shape: tuple[int, ...]) -> str:
    """Joins the texts with as many levels of brackets as the tensor has dimensions."""
    if not shape:
        return texts[0]
    for size in reversed(shape[1:]):
        # Without values, the sizes of the other dimensions still determine the number of lists.
        count = len(texts) // size if size else int(np.prod(shape[:-1]))
        texts = [f"[{', '.join(texts[i * size : (i + 1) * size])}]" for i in range(count)]
        shape = shape[:-1]
    return f"[{', '.join(texts)}]"
