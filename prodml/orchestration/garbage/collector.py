"""Removes unneeded artifacts; safe to kill at any moment.

An artifact is first recorded as DELETED. Then its directory is renamed to a dotted name in the same
folder, and the renamed directory is removed. The next collection finds on disk what a killed
collection left.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from prodml.errors import BusyError, NotFoundError, RootError
from prodml.metadata.identity import known_store_id
from prodml.metadata.reading import LineageReader
from prodml.metadata.records import ArtifactRecord, RunRecord
from prodml.metadata.store import Store
from prodml.metadata.writing import LineageWriter
from prodml.orchestration.garbage.crash_leftovers import (
    Leftover,
    find_leftovers,
    is_reached_by_links,
    remove_directory,
    size_of,
)
from prodml.orchestration.garbage.decisions import (
    Decision,
    Fate,
    KeepRules,
    Lineage,
    decide,
    open_runs,
)
from prodml.orchestration.garbage.shared_places import Claims
from prodml.orchestration.ownership import leases
from prodml.orchestration.ownership.root_ownership import owner_of
from prodml.orchestration.recovery.dead_runs import fail_dead_runs
from prodml.orchestration.recovery.run_start import new_run_id
from prodml.storage.locations import is_url, normalized

_BATCH = 200
_MANY = 10_000

Progress = Callable[[str, int, int], None]
"""Called often, with the current step, the number of items done, and the total number of items."""


@dataclass(frozen=True)
class Removal:
    """An artifact or a leftover that is to be removed, or was removed.

    Attributes:
        artifact_id: 0 for a leftover.
        type: type of the artifact; empty for a leftover.
        output: `node.output`.
        created: Unix ms; 0 for a leftover.
        size: size of its files in bytes.
        why: the reason.
    """

    pipeline: str
    artifact_id: int
    type: str
    output: str
    uri: str
    created: int
    size: int
    why: str


@dataclass(frozen=True)
class CollectionResult:
    """The result of a collection for one pipeline.

    Attributes:
        kept: number of artifacts that a rule keeps.
        protected: number of artifacts that are never removed, by reason.
        busy: why the pipeline was skipped; empty if it was not skipped.
    """

    pipeline: str
    removals: list[Removal]
    kept: int = 0
    protected: dict[str, int] = dataclasses.field(default_factory=dict)
    busy: str = ""


@dataclass(frozen=True)
class _Survey:
    """Decisions about artifacts, the leftovers, and the ids of all executions known by then."""

    decisions: list[Decision]
    leftovers: list[Leftover]
    executions: frozenset[int]


def preview(
    store: Store, rules: KeepRules, pipeline: str | None, progress: Progress
) -> list[CollectionResult]:
    """Lists what a collection would remove now; changes nothing.

    Args:
        pipeline: the only pipeline to look at; None for all.

    Raises:
        NotFoundError: the pipeline does not exist.
    """
    reader, own_id = LineageReader(store), known_store_id(store)
    names = _pipelines(reader, pipeline)
    runs = reader.runs_after(0)
    return [
        _collected(name, _survey(reader, own_id, name, rules, runs, progress), progress)
        for name in names
    ]


def collect(
    open_store: Callable[[], Store],
    rules: KeepRules,
    pipeline: str | None,
    progress: Progress,
    wait: leases.Wait | None = None,
) -> Iterator[CollectionResult]:
    """Removes, pipeline by pipeline, the artifacts that are neither kept by a rule nor protected.

    The collection locks each pipeline with its lease, as a run does. A pipeline that is in use is
    skipped.

    Args:
        pipeline: the only pipeline to collect; None for all.
        wait: if given, the collection waits for pipelines that are in use.

    Raises:
        NotFoundError: the pipeline does not exist.
        StorageError: the filesystem refuses; the next collection continues from there.
    """
    store = open_store()
    reader, writer, own_id = LineageReader(store), LineageWriter(store), known_store_id(store)
    names = _pipelines(reader, pipeline)
    fail_dead_runs(store)
    runs = reader.runs_after(0)
    for name in names:
        try:
            with leases.hold(open_store, name, f"gc-{new_run_id()}", wait):
                # Again: a run may have started and died since the first call.
                fail_dead_runs(store)
                runs += reader.runs_after(runs[-1].id if runs else 0)
                collected = _collect_locked(reader, writer, own_id, name, rules, runs, progress)
        except BusyError as error:
            collected = CollectionResult(name, [], busy=str(error))
        yield collected


def _collect_locked(
    reader: LineageReader,
    writer: LineageWriter,
    own_id: str | None,
    pipeline: str,
    rules: KeepRules,
    runs: Sequence[RunRecord],
    progress: Progress,
) -> CollectionResult:
    surveyed = _survey(reader, own_id, pipeline, rules, runs, progress)
    decisions, leftovers = surveyed.decisions, surveyed.leftovers
    collected = _collected(pipeline, surveyed, progress)
    for done, leftover in enumerate(leftovers):
        remove_directory(leftover.uri)
        progress(f"{pipeline}: removed leftovers", done + 1, len(leftovers))
    by_reason: dict[str, list[ArtifactRecord]] = defaultdict(list)
    for decision in decisions:
        if decision.fate is Fate.REMOVED:
            by_reason[decision.reason].append(decision.artifact)
    done, count = 0, sum(map(len, by_reason.values()))
    in_use: set[int] = set()
    for why, artifacts in by_reason.items():
        for start in range(0, len(artifacts), _BATCH):
            batch = artifacts[start : start + _BATCH]
            done += len(batch)
            in_use |= _used_since(reader, surveyed, batch)
            batch = [artifact for artifact in batch if artifact.id not in in_use]
            writer.mark_deleted([artifact.id for artifact in batch], f"prodml gc: {why}")
            for artifact in batch:
                remove_directory(artifact.uri)
            progress(f"{pipeline}: removed artifacts", done, count)
    if not in_use:
        return collected
    removals = [each for each in collected.removals if each.artifact_id not in in_use]
    protected = {**collected.protected, "it was used during this collection": len(in_use)}
    return dataclasses.replace(collected, removals=removals, protected=protected)


def _used_since(
    reader: LineageReader, surveyed: _Survey, artifacts: Sequence[ArtifactRecord]
) -> set[int]:
    """Ids of the artifacts that were imported, or set as the baseline, since the survey.

    Neither action needs the lease of the pipeline, and removing thousands of artifacts takes
    minutes.
    """
    links = reader.links_of_artifacts(artifact.id for artifact in artifacts)
    return {link.artifact_id for link in links if link.execution_id not in surveyed.executions}


def _pipelines(reader: LineageReader, wanted: str | None) -> list[str]:
    known = reader.pipelines()
    if wanted is None:
        return known
    if wanted not in known:
        raise NotFoundError(f"there is no pipeline {wanted!r}; pipelines: {', '.join(known)}")
    return [wanted]


def _survey(
    reader: LineageReader,
    own_id: str | None,
    pipeline: str,
    rules: KeepRules,
    runs: Sequence[RunRecord],
    progress: Progress,
) -> _Survey:
    """Decides on a pipeline's artifacts, and finds what earlier collections and runs left."""
    progress(f"{pipeline}: reading artifacts", 0, 0)
    artifacts = reader.live_artifacts(pipeline)
    links = reader.links_of_many_artifacts([artifact.id for artifact in artifacts])
    users = reader.many_executions(sorted({link.execution_id for link in links}))
    # Files are removed only on this machine's filesystems, and only below roots of this store.
    recorded = {r.pipeline_root for r in runs if r.pipeline == pipeline and r.pipeline_root}
    roots = {root for root in recorded if not is_url(root) and os.path.isdir(root)}
    roots = {root for root in roots if _is_own(os.path.dirname(root), own_id)}
    claimed = _claimed(reader, roots)
    lineage = Lineage(
        pipeline=pipeline,
        roots=frozenset(roots),
        artifacts=artifacts,
        executions={execution.id: execution for execution in users},
        links=links,
        open_runs=open_runs(runs),
        pinned=reader.pinned_model(pipeline),
        claimed=claimed,
        exists=functools.cache(os.path.isdir),
        unreachable=frozenset(recorded - roots),
    )
    decisions = [_without_links(decision) for decision in decide(lineage, rules)]
    live = frozenset(artifact.uri for artifact in artifacts)
    leftovers = find_leftovers(reader, roots, live, claimed)
    return _Survey(decisions, leftovers, frozenset(lineage.executions))


def _is_own(root: str, own_id: str | None) -> bool:
    """Whether a root's marker names the store with the id `own_id`."""
    try:
        owner = owner_of(root)
    except RootError:
        return False
    return owner is not None and owner.store_id == own_id


def _claimed(reader: LineageReader, roots: Iterable[str]) -> frozenset[str]:
    """Directories of imported artifacts and served versions, of any pipeline.

    If the real path of one is below a root, its path is given with the root's own spelling, as in
    the URIs of the root's artifacts.
    """
    pushed = reader.list_artifacts(_MANY, "PushedModel")
    served = {str(each.custom_properties.get("pushed_destination", "")) for each in pushed}
    imported = {artifact.uri for artifact in reader.external_artifacts()}
    claimed = {normalized(place) for place in served | imported if place and not is_url(place)}
    really = [os.path.realpath(place) for place in claimed]
    for root in roots:
        here = os.path.realpath(root)
        at_root = Claims([here])
        inside = [os.path.relpath(place, here) for place in really if at_root.overlap(place)]
        claimed |= {os.path.normpath(os.path.join(root, path)) for path in inside}
    return frozenset(claimed)


def _without_links(decision: Decision) -> Decision:
    """The decision; changed to PROTECTED if a symbolic link on the path leads elsewhere."""
    place = decision.place
    if decision.fate is not Fate.REMOVED or place is None:
        return decision
    if is_reached_by_links(place.root, decision.artifact.uri):
        why = "a symbolic link on its path leads elsewhere"
        return dataclasses.replace(decision, fate=Fate.PROTECTED, reason=why)
    return decision


def _collected(pipeline: str, surveyed: _Survey, progress: Progress) -> CollectionResult:
    decisions, leftovers = surveyed.decisions, surveyed.leftovers
    removals = [
        Removal(pipeline, 0, "", left.output, left.uri, 0, size_of(left.uri), left.why)
        for left in leftovers
    ]
    removed = [decision for decision in decisions if decision.fate is Fate.REMOVED]
    for decision in removed:
        artifact, place = decision.artifact, decision.place
        removals.append(
            Removal(
                pipeline,
                artifact.id,
                artifact.type_name,
                f"{place.node}.{place.output}" if place else "",
                artifact.uri,
                artifact.created,
                size_of(artifact.uri),
                decision.reason,
            )
        )
        progress(f"{pipeline}: measured artifacts", len(removals), len(removed) + len(leftovers))
    reasons = Counter(d.reason for d in decisions if d.fate is Fate.PROTECTED)
    kept = sum(decision.fate is Fate.KEPT for decision in decisions)
    return CollectionResult(pipeline, removals, kept, dict(reasons.most_common()))
