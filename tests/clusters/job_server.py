"""What all Java job servers of Beam have in common: their class path, and when they are ready."""

from __future__ import annotations

from pathlib import Path

import grpc
from clusters.downloads import run_client

DETECTOR = "StagesNothing"
"""The class that keeps a job server from uploading its own class path with each job."""

ADD_OPENS = tuple(
    part
    for package in (
        *("java.lang", "java.lang.invoke", "java.lang.reflect", "java.io", "java.net", "java.nio"),
        *("java.text", "java.time", "java.util", "java.util.concurrent"),
        *("java.util.concurrent.atomic", "java.util.concurrent.locks"),
        *("sun.nio.ch", "sun.nio.cs", "sun.security.action", "sun.util.calendar"),
    )
    for part in ("--add-opens", f"java.base/{package}=ALL-UNNAMED")
)
"""What Flink 1.19, Spark 3.5 and Kryo reach into; closed since Java 17."""


def compile_additions(jars: Path, directory: Path) -> None:
    """Compiles what comes first in the class paths: StagesNothing and Loopback.

    Args:
        jars: directory of Beam's jars.
        directory: a new directory for the classes.
    """
    directory.mkdir(parents=True)
    sources = [
        str(Path(__file__).with_name(name)) for name in ("StagesNothing.java", "Loopback.java")
    ]
    run_client(["javac", "-cp", f"{jars}/*", "-d", str(directory), *sources])
    run_client(["java", "-cp", f"{jars}/*:{directory}", "Loopback", str(directory)])


def missing_job_service(address: str) -> str | None:
    """Asks a job server for its jobs; returns None if it answers, and otherwise why not."""
    # Imported late: Beam takes seconds, in which the job server starts.
    from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc

    with grpc.insecure_channel(address) as channel:
        service = beam_job_api_pb2_grpc.JobServiceStub(channel)
        try:
            service.GetJobs(beam_job_api_pb2.GetJobsRequest(), timeout=5)
        except grpc.RpcError as error:
            return f"the job service at {address}: {error.details()}"
    return None
