"""Converts the events of a run to OpenLineage events.

The run, and every attempt to run a node, is an OpenLineage run. Its id is derived from the ids of
prodml, so that an event that is sent again, for example after a resume, has the same id. Source of
the format: https://openlineage.io/spec/2-0-2/OpenLineage.json and the facets that each class names.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Set
from dataclasses import replace
from typing import Final

import attr
from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
from openlineage.client.facet_v2 import (
    JobFacet,
    RunFacet,
    error_message_run,
    job_type_job,
    parent_run,
    processing_engine_run,
)

from prodml import __version__
from prodml.orchestration.events.event import Event, EventKind
from prodml.orchestration.events.log_reading import LoggedEvent
from prodml.orchestration.events.log_writing import timestamp
from prodml.orchestration.events.openlineage_datasets import PRODUCER, SCHEMA, inputs_of, outputs_of
from prodml.secrets import redact

_IDS: Final = uuid.UUID("a3e3c5ad-6a6f-5c55-9d0c-3a9a4f0c2b11")


@attr.define
class ProdmlExecutionRunFacet(RunFacet):
    """The record of a run, or of an attempt to run a node, in ML Metadata, with its result."""

    runId: str
    node: str | None = attr.field(default=None)
    executionId: int | None = attr.field(default=None)
    attempt: int | None = attr.field(default=None)
    state: str | None = attr.field(default=None)
    note: str | None = attr.field(default=None)

    @staticmethod
    def _get_schema() -> str:
        return f"{SCHEMA}#/$defs/ProdmlExecutionRunFacet"


class LineageEvents:
    """Converts the events of one run to OpenLineage events.

    Args:
        namespace: namespace of the jobs.
        dead: start events of nodes in an earlier process that was killed before their end.
        reported: ids of executions whose end an earlier process reported.
    """

    def __init__(
        self, namespace: str, dead: Iterable[LoggedEvent] = (), reported: Set[int] = frozenset()
    ) -> None:
        self._namespace = namespace
        self._dead = list(dead)
        self._reported = reported
        self._open: dict[int, Event] = {}

    def of(self, event: Event) -> list[RunEvent]:
        """The OpenLineage events for an event, oldest first."""
        match event.kind:
            case EventKind.RUN_STARTED:
                return [self._run_event(event, RunState.START)]
            case EventKind.RUN_RESUMED:
                return [*self._dead_attempts(event), self._run_event(event, RunState.START)]
            case EventKind.NODE_STARTED:
                self._open[event.execution_id] = event
                return [self._run_event(event, RunState.START)]
            case EventKind.NODE_RETRIED:
                return [*self._start_of(event), self._run_event(event, RunState.FAIL)]
            case EventKind.NODE_ENDED if event.execution_id in self._reported:
                return []
            case EventKind.NODE_ENDED:
                ended = {"failed": RunState.FAIL, "skipped": RunState.ABORT}
                state = ended.get(event.state, RunState.COMPLETE)
                return [*self._start_of(event), self._run_event(event, state)]
            case EventKind.RUN_ENDED:
                ended = {"FAILED": RunState.FAIL, "CANCELED": RunState.ABORT}
                aborted = [
                    self._run_event(self._aborted(execution_id, event), RunState.ABORT)
                    for execution_id in self._open
                ]
                self._open.clear()
                state = ended.get(event.state, RunState.COMPLETE)
                return [*aborted, self._run_event(event, state)]

    def _start_of(self, event: Event) -> list[RunEvent]:
        """The start of a node without a start event, because it was cached, found or skipped."""
        known = self._open.pop(event.execution_id, None) if event.execution_id else None
        return [] if known else [self._run_event(_without_result(event), RunState.START)]

    def _aborted(self, execution_id: int, end: Event) -> Event:
        started = self._open[execution_id]
        return replace(started, time=end.time, state=end.state.lower(), message=end.message)

    def _dead_attempts(self, resumed: Event) -> list[RunEvent]:
        return [
            self._run_event(
                Event(
                    EventKind.NODE_ENDED,
                    resumed.time,
                    resumed.run_id,
                    resumed.pipeline,
                    node_id=start.text("node"),
                    execution_id=int(start.fields.get("execution", 0)),
                    attempt=int(start.fields.get("attempt", 0)),
                    state="failed",
                    message="its process died",
                ),
                RunState.ABORT,
            )
            for start in self._dead
        ]

    def _run_event(self, event: Event, state: RunState) -> RunEvent:
        return RunEvent(
            eventTime=timestamp(event.time),
            eventType=state,
            producer=PRODUCER,
            run=Run(runId=_run_uuid(event), facets=self._run_facets(event, state)),
            job=Job(self._namespace, _job_name(event), facets=_job_facets(event)),
            inputs=inputs_of(event),
            outputs=outputs_of(event),
        )

    def _run_facets(self, event: Event, state: RunState) -> dict[str, RunFacet]:
        facets: dict[str, RunFacet] = {
            "processing_engine": processing_engine_run.ProcessingEngineRunFacet(
                version=__version__,
                name="prodml",
                openlineageAdapterVersion=__version__,
                producer=PRODUCER,
            ),
            "prodml_execution": ProdmlExecutionRunFacet(
                runId=event.run_id,
                node=event.node_id or None,
                executionId=event.execution_id or None,
                attempt=event.attempt or None,
                state=event.state.lower() or None,
                note=redact(event.message) or None,
                producer=PRODUCER,
            ),
        }
        if event.node_id:
            facets["parent"] = self._parent(event)
        if state is RunState.FAIL:
            facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(
                message=redact(event.message) or "no message",
                programmingLanguage="PYTHON",
                producer=PRODUCER,
            )
        return facets

    def _parent(self, event: Event) -> parent_run.ParentRunFacet:
        parent = str(_uuid(event.run_id))
        return parent_run.ParentRunFacet(
            run=parent_run.Run(runId=parent),
            job=parent_run.Job(self._namespace, event.pipeline),
            root=parent_run.Root(
                parent_run.RootRun(runId=parent),
                parent_run.RootJob(self._namespace, event.pipeline),
            ),
            producer=PRODUCER,
        )


def _run_uuid(event: Event) -> str:
    if not event.node_id:
        return str(_uuid(event.run_id))
    return str(_uuid(f"{event.run_id}/{event.node_id}/{event.execution_id}"))


def _uuid(name: str) -> uuid.UUID:
    return uuid.uuid5(_IDS, name)


def _job_name(event: Event) -> str:
    return f"{event.pipeline}.{event.node_id}" if event.node_id else event.pipeline


def _job_facets(event: Event) -> dict[str, JobFacet]:
    return {
        "jobType": job_type_job.JobTypeJobFacet(
            processingType="BATCH",
            integration="PRODML",
            jobType="NODE" if event.node_id else "PIPELINE",
            producer=PRODUCER,
        )
    }


def _without_result(event: Event) -> Event:
    return replace(event, state="", outputs={}, row_counts=())
