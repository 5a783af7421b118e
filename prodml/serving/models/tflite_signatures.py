"""Reads the SignatureDefs that a TFLite model stores for TF Serving in its metadata.

A metadata entry refers to a buffer with a flexbuffer map from key to serialized SignatureDef
(`tensorflow/lite/tools/signature/signature_def_util.cc`).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from flatbuffers import flexbuffers  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow.lite.python import schema_py_generated as schema

from prodml.errors import ServingError

_METADATA_NAME = b"signature_defs_metadata"
_IDENTIFIER = b"TFL3"
_FLEX_PREFIX = b"Flex"


def read_signature_defs(content: bytes) -> Mapping[str, meta_graph_pb2.SignatureDef]:
    """Returns the SignatureDefs by key; empty if the model has none.

    Args:
        content: the model's flatbuffer; all of it is checked.

    Raises:
        ServingError: the bytes are not a complete TFLite model, its signatures are damaged, or it
            has TensorFlow operations, which TF Serving does not run in TFLite.
    """
    model = _unpacked(content)
    for code in model.operatorCodes or ():
        if (code.customCode or b"").startswith(_FLEX_PREFIX):
            raise ServingError(
                "INTERNAL",
                f"Cannot build Interpreter from buffer. It has the operation "
                f"{code.customCode.decode()}, which needs TensorFlow",
            )
    entries = [entry for entry in model.metadata or () if entry.name == _METADATA_NAME]
    if not entries:
        return {}
    try:
        # Not Loads, which decodes the messages as UTF-8.
        values = flexbuffers.GetRoot(bytes(model.buffers[entries[0].buffer].data)).AsMap
        return {
            key: meta_graph_pb2.SignatureDef.FromString(bytes(value.AsStringBytes))
            for key, value in zip((key.AsKey for key in values.Keys), values.Values, strict=True)
        }
    except (DecodeError, AttributeError, TypeError, ValueError, IndexError, struct.error) as error:
        raise ServingError(
            "INVALID_ARGUMENT",
            "Invalid SignatureDefs found in TfLite model: Cannot parse signature def found in "
            "flatbuffer.",
        ) from error


def _unpacked(content: bytes) -> Any:
    """Unpacks every table and vector of the model, which fails if the file is truncated."""
    try:
        if content[4:8] != _IDENTIFIER:
            raise ValueError("no identifier")
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        for buffer in model.buffers or ():
            # Large buffers follow the flatbuffer.
            if buffer.offset > 1 and buffer.offset + buffer.size > len(content):
                raise ValueError("a buffer is cut off")
    except (ValueError, TypeError, IndexError, AttributeError, struct.error) as error:
        raise ServingError(
            "INVALID_ARGUMENT", "Cannot build FlatBufferModel from buffer."
        ) from error
    return model
