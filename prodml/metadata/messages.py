"""Converts between ML Metadata's messages and records; names of contexts are TFX 1.16's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.wrappers_pb2 import StringValue
from ml_metadata.proto import metadata_store_pb2 as mlmd

from prodml.artifacts import Artifact, PropertyValue
from prodml.metadata.records import (
    ArtifactRecord,
    ExecutionRecord,
    Link,
    RunRecord,
    RunState,
    State,
)
from prodml.secrets import redact

PIPELINE = "pipeline"
"""Context type; named by the pipeline."""
PIPELINE_RUN = "pipeline_run"
"""Context type; named by the run id."""
NODE = "node"
"""Context type; named `pipeline.node`."""
EXECUTION_CACHE = "execution_cache"
"""Context type; named by the fingerprint."""
BASELINE = "prodml.Baseline"
"""Execution type that records `prodml baseline set|reset`."""
ROLLOUT = "prodml.Rollout"
"""Execution type that records `prodml rollout canary|promote|rollback`."""

_LONG_TEXT = 2000
"""Bytes; the limit for an entry of PostgreSQL's index is 2,704."""
_STATES = {
    mlmd.Execution.UNKNOWN: State.RUNNING,
    mlmd.Execution.NEW: State.RUNNING,
    mlmd.Execution.RUNNING: State.RUNNING,
    mlmd.Execution.COMPLETE: State.COMPLETE,
    mlmd.Execution.CACHED: State.CACHED,
    mlmd.Execution.FAILED: State.FAILED,
    mlmd.Execution.CANCELED: State.CANCELED,
}


def artifact_record(artifact: Any) -> ArtifactRecord:
    return ArtifactRecord(
        id=artifact.id,
        type_name=artifact.type,
        name=artifact.name,
        uri=artifact.uri,
        state=mlmd.Artifact.State.Name(artifact.state),
        created=artifact.create_time_since_epoch,
        properties=get_values(artifact.properties),
        custom_properties=get_values(artifact.custom_properties),
    )


def execution_record(execution: Any) -> ExecutionRecord:
    return ExecutionRecord(
        id=execution.id,
        type_name=execution.type,
        name=execution.name,
        state=_STATES[execution.last_known_state],
        created=execution.create_time_since_epoch,
        updated=execution.last_update_time_since_epoch,
        properties=get_values(execution.custom_properties),
    )


def run_record(context: Any) -> RunRecord:
    values = get_values(context.custom_properties)
    return RunRecord(
        id=context.id,
        run_id=context.name,
        pipeline=str(values.get("pipeline", "")),
        state=RunState(str(values.get("state", RunState.RUNNING))),
        started=int(values.get("started", context.create_time_since_epoch)),
        ended=int(values.get("ended", 0)),
        parameters=str(values.get("parameters", "{}")),
        message=str(values.get("message", "")),
        lease_id=int(values.get("lease", 0)),
        pipeline_file=str(values.get("pipeline_file", "")),
        pipeline_root=str(values.get("pipeline_root", "")),
        use_cache=bool(values.get("use_cache", 1)),
    )


def link(event: Any) -> Link:
    steps = event.path.steps
    return Link(
        execution_id=event.execution_id,
        artifact_id=event.artifact_id,
        key=steps[0].key if steps else "",
        index=steps[1].index if len(steps) > 1 else 0,
        is_output=event.type in (mlmd.Event.OUTPUT, mlmd.Event.DECLARED_OUTPUT),
    )


def event(key: str, index: int, kind: int) -> Any:
    """Creates an event with TFX's path: the key, then the index."""
    created = mlmd.Event(type=kind)
    created.path.steps.add().key = key
    created.path.steps.add().index = index
    return created


def pairs_of(artifacts: Mapping[str, Sequence[Artifact]], kind: int) -> list[tuple[Any, Any]]:
    """Creates pairs of artifact and event.

    ML Metadata accepts one event of a kind between an execution and an artifact. So if an execution
    uses an artifact twice (a model that is its own baseline), the second event is DECLARED_INPUT.
    """
    seen: dict[int, int] = {}
    pairs = []
    for key, found in artifacts.items():
        for index, artifact in enumerate(found):
            times = seen[artifact.id] = seen.get(artifact.id, 0) + 1
            if times == 1:
                pairs.append((mlmd.Artifact(id=artifact.id), event(key, index, kind)))
            elif times == 2 and kind == mlmd.Event.INPUT:
                repeated = event(key, index, mlmd.Event.DECLARED_INPUT)
                pairs.append((mlmd.Artifact(id=artifact.id), repeated))
    return pairs


def set_values(target: Any, values: Mapping[str, PropertyValue]) -> None:
    """Writes plain values into an ML Metadata property map; secrets in texts are hidden.

    On database servers, integers have 32 bits, so a larger one, such as a time in ms, is stored as
    a double. PostgreSQL rejects texts that do not fit into its index, and ML Metadata's client does
    not quote texts with backslashes for it: what follows would be read as SQL. So such texts are
    stored as a StringValue in an Any.
    """
    for key, value in values.items():
        if isinstance(value, int) and abs(value) < 1 << 31:
            target[key].int_value = int(value)
        elif isinstance(value, int):
            target[key].double_value = float(value)
        elif isinstance(value, float):
            target[key].double_value = value
        elif _fits_in_a_column(text := redact(value)):
            target[key].string_value = text
        else:
            target[key].proto_value.Pack(StringValue(value=text))


def _fits_in_a_column(text: str) -> bool:
    return len(text) < _LONG_TEXT and len(text.encode()) < _LONG_TEXT and "\\" not in text


def get_values(source: Any) -> dict[str, PropertyValue]:
    """Reads plain values from an ML Metadata property map."""
    return {key: _plain(value) for key, value in source.items()}


def _plain(value: Any) -> PropertyValue:
    kind = value.WhichOneof("value")
    if kind != "proto_value":
        plain: PropertyValue = getattr(value, kind)
        return plain
    text = StringValue()
    value.proto_value.Unpack(text)
    return str(text.value)
