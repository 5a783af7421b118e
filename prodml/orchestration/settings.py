"""The settings of a run: plain data, which Beam can send to any worker.

Sections of a run configuration have the same classes, so each setting is declared once. Pydantic
validates them with the limits in `Annotated`; importing this module imports no pydantic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

from annotated_types import Ge, Gt, Le, MinLen

from prodml import keras_choice
from prodml.beam.profiles import RunnerProfile
from prodml.metadata.connection import RETRY_SECONDS, Connection
from prodml.metadata.records import TriggerClaim
from prodml.secrets import Secret

if TYPE_CHECKING:
    from prodml.metadata.store import Store


class _WithUnit:
    """Lets a configuration write a number of bytes with a unit, such as `4GiB`."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic import ByteSize
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(int, handler.generate_schema(ByteSize))


@dataclass(frozen=True)
class RetryPolicy:
    """Retries of a node after lost connections, I/O errors and lost workers.

    Attributes:
        max_attempts: maximum number of attempts; 1 disables retries.
        wait_seconds: wait before the second attempt; doubled, with jitter, before each later one.
        longest_wait_seconds: maximum wait.
    """

    max_attempts: Annotated[int, Ge(1)] = 3
    wait_seconds: Annotated[float, Ge(0)] = 1.0
    longest_wait_seconds: Annotated[float, Ge(0)] = 60.0


@dataclass(frozen=True)
class NodeLimits:
    """Limits of a node; with limits, it runs in a process of its own and is killed above them.

    Attributes:
        timeout_seconds: maximum wall time of an attempt.
        memory: maximum resident memory of the process and its children, in bytes; in a
            configuration also with a unit, such as `4GiB`.
    """

    timeout_seconds: Annotated[float, Gt(0)] | None = None
    memory: Annotated[int, _WithUnit] | None = None


@dataclass(frozen=True)
class OpenLineage:
    """Destination of OpenLineage events.

    Attributes:
        transport: `file` or `http`.
        path: file of JSON lines; by default `openlineage.jsonl` under the configuration's `home`.
        url: URL of the server, such as `http://localhost:5000`.
        endpoint: path of the server's API.
        token: bearer token; None to send none.
        namespace: namespace of the jobs.
        timeout_seconds: maximum wait for a response, and for the remaining events at the end of a
            run.

    Raises:
        ValueError: a field does not belong to the transport, or the URL is invalid.
    """

    transport: Literal["file", "http"]
    path: str | None = None
    url: str | None = None
    endpoint: str = "api/v1/lineage"
    token: Secret | None = None
    namespace: Annotated[str, MinLen(1)] = "prodml"
    timeout_seconds: Annotated[float, Gt(0), Le(60)] = 5.0

    def __post_init__(self) -> None:
        if self.transport == "file" and (self.url or self.token):
            raise ValueError("transport file uses path; url and token are for transport http")
        if self.transport == "http" and (self.path or not self.url):
            raise ValueError(
                "transport http needs a url, such as http://localhost:5000, and no path"
            )
        if self.url is None:
            return
        if "@" in self.url:
            # The message does not show the URL, because it contains a password.
            raise ValueError("url: no name or password allowed; use token")
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(
                f"url: expected http://host:port or https://host:port, got {self.url!r}"
            )


@dataclass(frozen=True)
class RunSettings:
    """The locations that a run uses, and its options.

    Attributes:
        metadata: connection to ML Metadata, or the path of an SQLite file.
        pipeline_root: directory or URL of artifacts; each pipeline has a directory below it.
        log_root: directory of captured output; each run has a directory below it.
        runner: the Beam runner of data-parallel executors.
        use_cache: False to run every node.
        retry: when a failed node is retried.
        limits: limits of nodes by node id; nodes without limits are absent.
        dag: the Beam runner that runs the nodes themselves.
        scratch_root: directory for fetched and staged files if `pipeline_root` is a URL; by
            default beside the logs.
        pipeline_file: the Python file with the pipeline, recorded for resuming the run.
        retry_seconds: how long calls of an unreachable store are retried.
        keras: what `tf.keras` means in user modules whose component does not choose it.
        claims: claims of triggers that the start of the run records; empty for a run that no
            trigger started.
    """

    metadata: str | Connection
    pipeline_root: str
    log_root: str
    runner: RunnerProfile = field(default_factory=RunnerProfile)
    use_cache: bool = True
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    limits: Mapping[str, NodeLimits] = field(default_factory=dict)
    dag: RunnerProfile = field(default_factory=RunnerProfile)
    scratch_root: str = ""
    pipeline_file: str = ""
    retry_seconds: float = RETRY_SECONDS
    keras: keras_choice.KerasName = keras_choice.DEFAULT
    claims: Sequence[TriggerClaim] = ()

    def open_store(self, warn: Callable[[str], None] | None = None) -> Store:
        """Opens a new connection to the store; each thread needs its own.

        Args:
            warn: called with a message while a call waits for an unreachable store.
        """
        # Imported here, so that loading a configuration does not import ML Metadata.
        from prodml.metadata.store import Store

        return Store(self.metadata, self.retry_seconds, warn)
