"""Removes artifacts that nobody can ask for any more, so that it can be killed at any moment.

An artifact is recorded as DELETED first, then its directory is renamed to a dotted name beside it,
then that is removed. What a killed collection left is found on the disk by the next one.
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
from prodml.orchestration.recovery.dead_runs import settle_dead_runs
from prodml.orchestration.run import new_run_id
from prodml.storage.locations import is_url, normal

_BATCH = 200
_MANY = 10_000

Progress = Callable[[str, int, int], None]
"""Is told what is done, how many of it are, and how many there are; often."""


@dataclass(frozen=True)
class Removal:
    """An artifact or a leftover that goes, or went.

    Attributes:
        artifact_id: 0 for a leftover.
        type: of the artifact; empty for a leftover.
        output: `node.output`.
        created: Unix ms; 0 for a leftover.
        size: bytes of its files.
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
class Collected:
    """What became of a pipeline's artifacts.

    Attributes:
        kept: how many stay because of a rule.
        protected: how many stay whatever the rules, by reason.
        busy: why the pipeline was left alone; empty where it was not.
    """

    pipeline: str
    removals: list[Removal]
    kept: int = 0
    protected: dict[str, int] = dataclasses.field(default_factory=dict)
    busy: str = ""


@dataclass(frozen=True)
class _Surveyed:
    """What becomes of artifacts, what was left over, and the executions that were known then."""

    decisions: list[Decision]
    leftovers: list[Leftover]
    executions: frozenset[int]


def preview(
    store: Store, rules: KeepRules, pipeline: str | None, progress: Progress
) -> list[Collected]:
    """What a collection would remove now; changes nothing.

    Args:
        pipeline: only this one; None for all.

    Raises:
        NotFoundError: there is no such pipeline.
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
) -> Iterator[Collected]:
    """Removes, pipeline by pipeline, what the rules do not keep and nothing protects.

    Each pipeline is held meanwhile, as a run of it would; one that is in use is left alone.

    Args:
        pipeline: only this one; None for all.
        wait: where it is given, pipelines that are in use are waited for.

    Raises:
        NotFoundError: there is no such pipeline.
        StorageError: the filesystem refuses; the next collection goes on.
    """
    store = open_store()
    reader, writer, own_id = LineageReader(store), LineageWriter(store), known_store_id(store)
    names = _pipelines(reader, pipeline)
    settle_dead_runs(store)
    runs = reader.runs_after(0)
    for name in names:
        try:
            with leases.hold(open_store, name, f"gc-{new_run_id()}", wait):
                # Once more: the last run may have begun and died since.
                settle_dead_runs(store)
                runs += reader.runs_after(runs[-1].id if runs else 0)
                collected = _collect_held(reader, writer, own_id, name, rules, runs, progress)
        except BusyError as error:
            collected = Collected(name, [], busy=str(error))
        yield collected


def _collect_held(
    reader: LineageReader,
    writer: LineageWriter,
    own_id: str | None,
    pipeline: str,
    rules: KeepRules,
    runs: Sequence[RunRecord],
    progress: Progress,
) -> Collected:
    surveyed = _survey(reader, own_id, pipeline, rules, runs, progress)
    decisions, leftovers = surveyed.decisions, surveyed.leftovers
    collected = _collected(pipeline, surveyed, progress)
    for done, leftover in enumerate(leftovers):
        remove_directory(leftover.uri)
        progress(f"{pipeline}: removed what was left over", done + 1, len(leftovers))
    because: dict[str, list[ArtifactRecord]] = defaultdict(list)
    for decision in decisions:
        if decision.fate is Fate.REMOVED:
            because[decision.reason].append(decision.artifact)
    done, count = 0, sum(map(len, because.values()))
    spared: set[int] = set()
    for why, artifacts in because.items():
        for start in range(0, len(artifacts), _BATCH):
            batch = artifacts[start : start + _BATCH]
            done += len(batch)
            spared |= _asked_for_since(reader, surveyed, batch)
            batch = [artifact for artifact in batch if artifact.id not in spared]
            writer.mark_deleted([artifact.id for artifact in batch], f"prodml gc: {why}")
            for artifact in batch:
                remove_directory(artifact.uri)
            progress(f"{pipeline}: removed artifacts", done, count)
    if not spared:
        return collected
    removals = [each for each in collected.removals if each.artifact_id not in spared]
    protected = {**collected.protected, "it was asked for meanwhile": len(spared)}
    return dataclasses.replace(collected, removals=removals, protected=protected)


def _asked_for_since(
    reader: LineageReader, surveyed: _Surveyed, artifacts: Sequence[ArtifactRecord]
) -> set[int]:
    """Ids of those that somebody imported, or made the baseline, since the survey.

    Neither needs the lease of the pipeline, and to remove thousands takes minutes.
    """
    links = reader.links_of_artifacts(artifact.id for artifact in artifacts)
    return {link.artifact_id for link in links if link.execution_id not in surveyed.executions}


def _pipelines(reader: LineageReader, wanted: str | None) -> list[str]:
    known = reader.pipelines()
    if wanted is None:
        return known
    if wanted not in known:
        raise NotFoundError(f"there is no pipeline {wanted!r}; there is: {', '.join(known)}")
    return [wanted]


def _survey(
    reader: LineageReader,
    own_id: str | None,
    pipeline: str,
    rules: KeepRules,
    runs: Sequence[RunRecord],
    progress: Progress,
) -> _Surveyed:
    """What becomes of a pipeline's artifacts, and what earlier collections and runs left."""
    progress(f"{pipeline}: reading artifacts", 0, 0)
    artifacts = reader.live_artifacts(pipeline)
    links = reader.links_of_many_artifacts([artifact.id for artifact in artifacts])
    users = reader.many_executions(sorted({link.execution_id for link in links}))
    # Files are removed on this machine's filesystems only, and from roots of this store.
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
        is_there=functools.cache(os.path.isdir),
        away=frozenset(recorded - roots),
    )
    decisions = [_without_links(decision) for decision in decide(lineage, rules)]
    live = frozenset(artifact.uri for artifact in artifacts)
    leftovers = find_leftovers(reader, roots, live, claimed)
    return _Surveyed(decisions, leftovers, frozenset(lineage.executions))


def _is_own(root: str, own_id: str | None) -> bool:
    """Whether a pipeline root says that it belongs to the store with an id."""
    try:
        owner = owner_of(root)
    except RootError:
        return False
    return owner is not None and owner.store_id == own_id


def _claimed(reader: LineageReader, roots: Iterable[str]) -> frozenset[str]:
    """Directories of others, of any pipeline: imported artifacts and served versions.

    What lies, really, in a root is named as the artifacts in this root are.
    """
    pushed = reader.list_artifacts(_MANY, "PushedModel")
    served = {str(each.custom_properties.get("pushed_destination", "")) for each in pushed}
    imported = {artifact.uri for artifact in reader.external_artifacts()}
    claimed = {normal(place) for place in served | imported if place and not is_url(place)}
    really = [os.path.realpath(place) for place in claimed]
    for root in roots:
        here = os.path.realpath(root)
        at_root = Claims([here])
        inside = [os.path.relpath(place, here) for place in really if at_root.meet(place)]
        claimed |= {os.path.normpath(os.path.join(root, path)) for path in inside}
    return frozenset(claimed)


def _without_links(decision: Decision) -> Decision:
    """The decision, unless a link on the way leads elsewhere."""
    place = decision.place
    if decision.fate is not Fate.REMOVED or place is None:
        return decision
    if is_reached_by_links(place.root, decision.artifact.uri):
        why = "a link on the way to it leads elsewhere"
        return dataclasses.replace(decision, fate=Fate.PROTECTED, reason=why)
    return decision


def _collected(pipeline: str, surveyed: _Surveyed, progress: Progress) -> Collected:
    decisions, leftovers = surveyed.decisions, surveyed.leftovers
    removals = [
        Removal(pipeline, 0, "", left.output, left.uri, 0, size_of(left.uri), left.why)
        for left in leftovers
    ]
    going = [decision for decision in decisions if decision.fate is Fate.REMOVED]
    for decision in going:
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
        progress(f"{pipeline}: measured artifacts", len(removals), len(going) + len(leftovers))
    reasons = Counter(d.reason for d in decisions if d.fate is Fate.PROTECTED)
    kept = sum(decision.fate is Fate.KEPT for decision in decisions)
    return Collected(pipeline, removals, kept, dict(reasons.most_common()))
