"""Immutable records of runs, executions, artifacts and leases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from prodml.artifacts import PropertyValue


class State(StrEnum):
    """State of an execution; the names are ML Metadata's."""

    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    CACHED = "CACHED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"


class RunState(StrEnum):
    """State of a run."""

    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    FAILED = "FAILED"
    CANCELED = "CANCELED"


@dataclass(frozen=True)
class ArtifactRecord:
    """An artifact; `state` is ML Metadata's, such as LIVE or DELETED; times are Unix ms."""

    id: int
    type_name: str
    name: str
    uri: str
    state: str
    created: int
    properties: Mapping[str, PropertyValue]
    custom_properties: Mapping[str, PropertyValue]

    def was_produced_by(self, producer: str | None, output_key: str | None) -> bool:
        """Whether a node produced the artifact under an output key; None matches any."""
        own_producer = self.custom_properties.get("producer_component")
        own_key = self.custom_properties.get("output_key")
        return producer in (None, own_producer) and output_key in (None, own_key)


@dataclass(frozen=True)
class Attempt:
    """One attempt to run a node: what the records of an execution and its artifacts share.

    Attributes:
        execution_type: name of the ML Metadata execution type.
        number: counts the attempts of a node in a run, from 1.
    """

    pipeline: str
    run_id: str
    node_id: str
    execution_type: str
    number: int = 1

    def artifact_name(self, execution_id: int, key: str, index: int) -> str:
        """The name of an output artifact; ML Metadata accepts a name once for each type."""
        return f"{self.pipeline}:{self.run_id}:{self.node_id}:{key}:{index}:{execution_id}"


@dataclass(frozen=True)
class ExecutionRecord:
    """One attempt to run a node; times are Unix ms."""

    id: int
    type_name: str
    name: str
    state: State
    created: int
    updated: int
    properties: Mapping[str, PropertyValue]

    @property
    def node_id(self) -> str:
        return str(self.properties.get("node_id", ""))


@dataclass(frozen=True)
class RunRecord:
    """A run of a pipeline; times are Unix ms, `ended` is 0 while the run is in progress.

    Attributes:
        parameters: the runtime parameters, as JSON.
        lease_id: id of the run's current or last lease.
        pipeline_file: path of the Python file with the pipeline.
        pipeline_root: location where artifacts are published.
        use_cache: False if the run was started with `--no-cache`.
    """

    id: int
    run_id: str
    pipeline: str
    state: RunState
    started: int
    ended: int
    parameters: str
    message: str
    lease_id: int = 0
    pipeline_file: str = ""
    pipeline_root: str = ""
    use_cache: bool = True


@dataclass(frozen=True)
class ProcessRecord:
    """The unique identity of a process, which differs from later processes with the same number.

    Attributes:
        host: name of the machine.
        machine: boot id and process namespace of the machine; empty if unknown.
        pid: number of the process in its namespace.
        token: a random token of this process.
    """

    host: str
    machine: str
    pid: int
    token: str


@dataclass(frozen=True)
class LeaseRecord:
    """The right to run a pipeline; only a pipeline's newest lease is valid. Times are Unix ms.

    Attributes:
        number: number of the lease, from 1 for each pipeline.
        heartbeat: time of the holder's last heartbeat.
        ended: time at which the lease was released; 0 until then.
    """

    id: int
    pipeline: str
    number: int
    run_id: str
    holder: ProcessRecord
    heartbeat: int
    ended: int


@dataclass(frozen=True)
class Link:
    """An event: an execution used or produced an artifact under a key."""

    execution_id: int
    artifact_id: int
    key: str
    index: int
    is_output: bool


@dataclass(frozen=True)
class TriggerClaim:
    """The right to start one run of a pipeline because of a trigger; only one process gets it.

    Attributes:
        key: the state that the trigger has found; equal states have equal keys.
        number: number of the run that the key starts, from 1.
    """

    key: str
    number: int
