"""Reads runs, executions, artifacts and events from ML Metadata."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from prodml.errors import NotFoundError
from prodml.metadata.messages import (
    BASELINE,
    EXECUTION_CACHE,
    NODE,
    PIPELINE,
    PIPELINE_RUN,
    artifact_record,
    execution_record,
    link,
    run_record,
)
from prodml.metadata.queries import BATCH, batches, newest, newest_first, quoted
from prodml.metadata.records import (
    ArtifactRecord,
    ExecutionRecord,
    Link,
    RunRecord,
    RunState,
    State,
)
from prodml.metadata.store import Store

_MANY = 10_000


class LineageReader:
    """Reads of lineage.

    Args:
        store: an open store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def run(self, run_id: str) -> RunRecord:
        """A run by id.

        Raises:
            NotFoundError: the run does not exist.
        """
        context = self._context(f"cannot read run {run_id}", PIPELINE_RUN, run_id)
        if context is None:
            raise NotFoundError(f"run {run_id!r} does not exist; `prodml runs` lists all runs")
        return run_record(context)

    def runs(self, limit: int, pipeline: str | None = None) -> list[RunRecord]:
        """The newest runs, newest first."""
        found = map(run_record, self._newest_contexts(f"type = '{PIPELINE_RUN}'"))
        # Filtered here, because the store would search all runs of the pipeline.
        ours = (run for run in found if pipeline in (None, run.pipeline))
        return list(itertools.islice(ours, limit))

    def runs_in_state(self, state: RunState) -> list[RunRecord]:
        """All runs in a state, newest first."""
        where = (
            f"type = '{PIPELINE_RUN}' AND custom_properties.state.string_value = {quoted(state)}"
        )
        contexts = self._store.read(
            "cannot list the runs", lambda store: store.get_contexts(newest(_MANY, where))
        )
        return [run_record(context) for context in contexts]

    def executions_of_run(self, run_id: str) -> list[ExecutionRecord]:
        """The executions of a run, oldest first."""
        found = self._executions_of(f"cannot read run {run_id}", PIPELINE_RUN, run_id)
        return sorted(found, key=lambda r: r.id)

    def executions(self, ids: Iterable[int]) -> list[ExecutionRecord]:
        """Executions by id."""
        wanted = list(ids)
        found = self._store.read(
            "cannot read executions", lambda store: store.get_executions_by_id(wanted)
        )
        return [execution_record(e) for e in found]

    def cached_executions(self, fingerprint: str) -> list[ExecutionRecord]:
        """Complete executions with this fingerprint, newest first.

        Makes one indexed query, and on a hit a second query.
        """
        found = self._executions_of("cannot look up the cache", EXECUTION_CACHE, fingerprint)
        complete = [r for r in found if r.state is State.COMPLETE]
        return sorted(complete, key=lambda r: r.id, reverse=True)

    def last_completed(self, pipeline: str, node_id: str) -> ExecutionRecord | None:
        """The newest complete or cached execution of a node, or None."""
        what = f"cannot read the history of {node_id}"
        context = self._context(what, NODE, f"{pipeline}.{node_id}")
        if context is None:
            return None
        found = newest_first(
            lambda options: self._store.read(what, lambda store: store.get_executions(options)),
            f"contexts_a.id = {context.id}",
        )
        records = map(execution_record, found)
        return next((r for r in records if r.state in (State.COMPLETE, State.CACHED)), None)

    def artifacts(self, ids: Iterable[int]) -> list[ArtifactRecord]:
        """Artifacts by id, in no particular order; unknown ids are omitted."""
        wanted = list(dict.fromkeys(ids))
        if not wanted:
            return []
        found = self._store.read(
            "cannot read artifacts", lambda store: store.get_artifacts_by_id(wanted)
        )
        return [artifact_record(a) for a in found]

    def list_artifacts(self, limit: int, type_name: str | None = None) -> list[ArtifactRecord]:
        """The newest artifacts, newest first; of one type, or of all types if None."""
        where = f"type = {quoted(type_name)}" if type_name else None
        found = self._store.read(
            "cannot list the artifacts", lambda store: store.get_artifacts(newest(limit, where))
        )
        return [artifact_record(a) for a in found]

    def newest_artifacts(
        self,
        pipeline: str,
        type_name: str,
        producer: str | None = None,
        output_key: str | None = None,
    ) -> Iterator[ArtifactRecord]:
        """Live artifacts of a type that runs of a pipeline produced, newest first, read in pages.

        Args:
            pipeline: name of the pipeline.
            type_name: name of the artifact type.
            producer: id of the node that produced the artifacts; None for any.
            output_key: output key of the artifacts; None for any.
        """
        context = self._context("cannot read artifacts", PIPELINE, pipeline)
        if context is None:
            return
        found = newest_first(
            lambda options: self._store.read(
                "cannot read artifacts", lambda store: store.get_artifacts(options)
            ),
            f"type = {quoted(type_name)} AND state = LIVE AND contexts_a.id = {context.id}",
        )
        for record in map(artifact_record, found):
            if record.was_produced_by(producer, output_key):
                yield record

    def external_artifact(self, uri: str, type_name: str) -> ArtifactRecord | None:
        """The newest live artifact of a type at a URI, or None."""
        found = self._store.read(
            "cannot read artifacts", lambda store: store.get_artifacts_by_uri(uri)
        )
        records = [artifact_record(a) for a in found]
        live = [r for r in records if r.type_name == type_name and r.state == "LIVE"]
        return max(live, key=lambda r: r.id, default=None)

    def is_artifact_at(self, uri: str) -> bool:
        """Whether an artifact, in any state, is recorded at a URI."""
        found = self._store.read(
            "cannot read artifacts", lambda store: store.get_artifacts_by_uri(uri)
        )
        return bool(found)

    def links_of_executions(self, ids: Iterable[int]) -> list[Link]:
        """Events of executions."""
        wanted = list(dict.fromkeys(ids))
        if not wanted:
            return []
        found = self._store.read(
            "cannot read events", lambda store: store.get_events_by_execution_ids(wanted)
        )
        return [link(e) for e in found]

    def links_of_artifacts(self, ids: Iterable[int]) -> list[Link]:
        """Events of artifacts."""
        wanted = list(dict.fromkeys(ids))
        if not wanted:
            return []
        found = self._store.read(
            "cannot read events", lambda store: store.get_events_by_artifact_ids(wanted)
        )
        return [link(e) for e in found]

    def pinned_model(self, pipeline: str) -> int | None:
        """The id of the model that is set as the baseline; None if none is set or after a reset."""
        # Executions of this type are few, so this is faster than a search by pipeline.
        found = self._store.read(
            "cannot read the baseline", lambda store: store.get_executions_by_type(BASELINE)
        )
        ours = [e for e in map(execution_record, found) if e.properties["pipeline"] == pipeline]
        if not ours:
            return None
        values = max(ours, key=lambda e: e.id).properties
        return int(values["model_id"]) if values["action"] == "set" else None

    def pipelines(self) -> list[str]:
        """The names of all pipelines that have ever run, sorted."""
        contexts = self._store.read(
            "cannot list the pipelines", lambda store: store.get_contexts_by_type(PIPELINE)
        )
        return sorted(context.name for context in contexts)

    def runs_after(self, id: int) -> list[RunRecord]:
        """All runs of all pipelines whose ML Metadata id is greater than `id`, oldest first."""
        what = "cannot list the runs"
        last = self._store.read(what, lambda store: store.get_contexts(newest(1)))
        found: list[Any] = []
        # A thousand ids per query: faster than a condition, which each page evaluates again.
        for ids in batches(range(id + 1, last[0].id + 1 if last else 0)):
            found += self._contexts_by_id(what, ids)
        runs = [run_record(context) for context in found if context.type == PIPELINE_RUN]
        return sorted(runs, key=lambda run: run.id)

    def live_artifacts(self, pipeline: str) -> list[ArtifactRecord]:
        """All live artifacts that runs of a pipeline produced or used, oldest first."""
        context = self._context("cannot read artifacts", PIPELINE, pipeline)
        last = self.list_artifacts(1)
        if context is None or not last:
            return []
        found: list[Any] = []
        for after in range(0, last[0].id, BATCH):
            where = (
                f"id > {after} AND id <= {after + BATCH} AND state = LIVE "
                f"AND contexts_a.id = {context.id}"
            )
            found += self._artifacts_where(where, BATCH)
        return sorted(map(artifact_record, found), key=lambda record: record.id)

    def external_artifacts(self) -> list[ArtifactRecord]:
        """All live imported artifacts of all pipelines."""
        where = "state = LIVE AND custom_properties.is_external.int_value = 1"
        return [artifact_record(artifact) for artifact in self._artifacts_where(where, _MANY)]

    def links_of_many_artifacts(self, ids: Sequence[int]) -> list[Link]:
        """Events of any number of artifacts."""
        return [link for batch in batches(ids) for link in self.links_of_artifacts(batch)]

    def many_executions(self, ids: Sequence[int]) -> list[ExecutionRecord]:
        """Any number of executions by id; unknown ids are omitted."""
        return [record for batch in batches(ids) for record in self.executions(batch)]

    def _context(self, what: str, type_name: str, name: str) -> Any:
        return self._store.read(
            what, lambda store: store.get_context_by_type_and_name(type_name, name)
        )

    def _contexts_by_id(self, what: str, ids: Sequence[int]) -> Sequence[Any]:
        return self._store.read(what, lambda store: store.get_contexts_by_id(ids))

    def _artifacts_where(self, where: str, limit: int) -> Sequence[Any]:
        return self._store.read(
            "cannot read artifacts", lambda store: store.get_artifacts(newest(limit, where))
        )

    def _executions_of(
        self, what: str, type_name: str, name: str, options: Any = None
    ) -> list[ExecutionRecord]:
        """The executions of a context; empty if the context does not exist."""
        context = self._context(what, type_name, name)
        if context is None:
            return []
        found = self._store.read(
            what, lambda store: store.get_executions_by_context(context.id, options)
        )
        return [execution_record(e) for e in found]

    def _newest_contexts(self, where: str) -> Iterator[Any]:
        return newest_first(
            lambda options: self._store.read(
                "cannot list the runs", lambda store: store.get_contexts(options)
            ),
            where,
        )
