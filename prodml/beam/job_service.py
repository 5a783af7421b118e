"""Checks that the Beam job server of a configuration answers."""

from __future__ import annotations

import grpc
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc

from prodml.errors import RunnerError

_TIMEOUT_SECONDS = 8.0


def check_job_service(endpoint: str) -> None:
    """Asks a job server for its options, as Beam does first, but without Beam's wait of minutes.

    Args:
        endpoint: `host:port` of the job server.

    Raises:
        RunnerError: nothing answers there within 8 s, or it is not a Beam job server.
    """
    with grpc.insecure_channel(endpoint) as channel:
        service = beam_job_api_pb2_grpc.JobServiceStub(channel)
        request = beam_job_api_pb2.DescribePipelineOptionsRequest()
        try:
            service.DescribePipelineOptions(request, timeout=_TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            raise RunnerError(
                f"no Beam job server answers at {endpoint} ({error.code().name}:"
                f" {error.details()}); check that it is running and reachable from this machine,"
                " and runner.options.job_endpoint in the configuration"
            ) from error
