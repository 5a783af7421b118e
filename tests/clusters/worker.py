"""A Python worker of Beam, started as the SDK's containers start one.

    PYTHONPATH=tests python -m clusters.worker ID CONTROL LOGGING PROVISION

The runner's pipeline options are fetched from it, so that file systems have their options, and log
records go to the runner.
"""

from __future__ import annotations

import os
import sys

import grpc
from apache_beam.portability.api import (
    beam_provision_api_pb2,
    beam_provision_api_pb2_grpc,
    endpoints_pb2,
)
from apache_beam.runners.worker import sdk_worker_main
from google.protobuf import json_format, text_format

_TIMEOUT_SECONDS = 60


def main(worker_id: str, control: str, logging: str, provision: str) -> None:
    """Works until the runner closes the connection."""
    with grpc.insecure_channel(provision) as channel:
        info = (
            beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
            .GetProvisionInfo(
                beam_provision_api_pb2.GetProvisionInfoRequest(),
                metadata=[("worker_id", worker_id)],
                timeout=_TIMEOUT_SECONDS,
            )
            .info
        )
    os.environ.update(
        WORKER_ID=worker_id,
        PIPELINE_OPTIONS=json_format.MessageToJson(info.pipeline_options),
        LOGGING_API_SERVICE_DESCRIPTOR=_descriptor(logging),
        CONTROL_API_SERVICE_DESCRIPTOR=_descriptor(control),
        RUNNER_CAPABILITIES=" ".join(info.runner_capabilities),
    )
    if info.HasField("status_endpoint"):
        os.environ["STATUS_API_SERVICE_DESCRIPTOR"] = _descriptor(info.status_endpoint.url)
    sdk_worker_main.main(sys.argv)


def _descriptor(url: str) -> str:
    return text_format.MessageToString(
        endpoints_pb2.ApiServiceDescriptor(url=url), as_one_line=True
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
