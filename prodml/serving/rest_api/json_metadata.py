"""Writes bodies of REST answers about models: their states and their signatures."""

from __future__ import annotations

import json

from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2


def status(response: get_model_status_pb2.GetModelStatusResponse) -> str:
    """Writes the states of a model's versions."""
    return str(json_format.MessageToJson(response, including_default_value_fields=True, indent=1))


def metadata(response: get_model_metadata_pb2.GetModelMetadataResponse) -> str:
    """Writes the signatures of a version."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    spec, of_model = (
        json_format.MessageToDict(
            message, including_default_value_fields=True, preserving_proto_field_name=True
        )
        for message in (response.model_spec, signatures)
    )
    return json.dumps({"model_spec": spec, "metadata": {"signature_def": of_model}}, indent=1)
