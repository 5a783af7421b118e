"""Decides from records alone which artifacts of a pipeline may be removed, with reasons."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from prodml.metadata.records import (
    ArtifactRecord,
    ExecutionRecord,
    Link,
    RunRecord,
    RunState,
    State,
)
from prodml.orchestration.garbage.shared_places import Claims, Place, place_of
from prodml.storage.locations import is_url, normalized


class Fate(StrEnum):
    """Whether an artifact is removed, and if not, why it stays."""

    KEPT = "kept"
    PROTECTED = "protected"
    REMOVED = "removed"


@dataclass(frozen=True)
class KeepRules:
    """Rules that keep artifacts; one matching rule is enough.

    Attributes:
        last: keep this number of artifacts of each output of each node, newest first; None for no
            such rule.
        blessed: keep blessed models, each with its blessing and evaluation.
        pushed: keep pushed models, each with its PushedModel.
        since: keep artifacts that were created, or used by a run, since this time in Unix ms; None
            for no such rule.
    """

    last: int | None = None
    blessed: bool = False
    pushed: bool = False
    since: int | None = None


@dataclass(frozen=True)
class Lineage:
    """The records and facts about the live artifacts of a pipeline.

    Attributes:
        roots: directories in which the pipeline's runs published.
        artifacts: live artifacts that the pipeline's runs published or used.
        executions: all executions that the links name, by id, also those of other pipelines.
        links: links of these artifacts.
        open_runs: ids of runs, of any pipeline, that are active or can be resumed.
        pinned: id of the model that was set as the baseline.
        claimed: directories of imported artifacts and served versions, of any pipeline.
        exists: whether a directory exists.
        unreachable: roots that this machine cannot reach (in an object store, on another machine,
            not mounted), or whose marker does not name this store.
    """

    pipeline: str
    roots: frozenset[str]
    artifacts: Sequence[ArtifactRecord]
    executions: Mapping[int, ExecutionRecord]
    links: Sequence[Link]
    open_runs: frozenset[str]
    pinned: int | None
    claimed: frozenset[str]
    exists: Callable[[str], bool]
    unreachable: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Decision:
    """The fate of an artifact and the reason; `place` is None if no run published it there."""

    artifact: ArtifactRecord
    fate: Fate
    reason: str
    place: Place | None


def decide(lineage: Lineage, rules: KeepRules) -> list[Decision]:
    """Decides on each live artifact, oldest first.

    An artifact whose directory is missing does not count among the newest, but is not removed for
    that reason alone: the directory may only be unreachable.

    These artifacts are never removed, whatever the rules: those that an active or resumable run
    published or used, that another pipeline used, that are served, that a resolver can still
    return, that were imported, and those that are not where a run published them.
    """
    known = _Known(lineage)
    protected = _protected(known)
    kept = _kept(known, rules)
    decisions = []
    for artifact in sorted(lineage.artifacts, key=lambda artifact: artifact.id):
        place = known.places.get(artifact.id)
        if reason := protected.get(artifact.id):
            decisions.append(Decision(artifact, Fate.PROTECTED, reason, place))
        elif reason := kept.get(artifact.id):
            decisions.append(Decision(artifact, Fate.KEPT, reason, place))
        else:
            reason = _why_removed(known, artifact, rules)
            decisions.append(Decision(artifact, Fate.REMOVED, reason, place))
    return decisions


def open_runs(runs: Iterable[RunRecord]) -> frozenset[str]:
    """Ids of the active runs, and of the newest run of each pipeline that did not succeed.

    Args:
        runs: oldest first.
    """
    found = {run.run_id for run in runs if run.state is RunState.RUNNING}
    unfinished = {run.pipeline: run.run_id for run in runs if run.state is not RunState.COMPLETE}
    return frozenset(found | set(unfinished.values()))


class _Known:
    """A lineage with indexes derived from it."""

    def __init__(self, lineage: Lineage) -> None:
        self.lineage = lineage
        self.artifacts = {artifact.id: artifact for artifact in lineage.artifacts}
        self.newest = sorted(lineage.artifacts, key=lambda artifact: artifact.id, reverse=True)
        self.users: dict[int, list[ExecutionRecord]] = defaultdict(list)
        """Executions that published, resolved or used an artifact."""
        self.made: dict[int, list[int]] = defaultdict(list)
        """Output artifacts of an execution."""
        self.outputs: dict[int, dict[int, str]] = defaultdict(dict)
        """Output key of an artifact by execution."""
        for link in lineage.links:
            if link.execution_id in lineage.executions:
                self.users[link.artifact_id].append(lineage.executions[link.execution_id])
            if link.is_output:
                self.made[link.execution_id].append(link.artifact_id)
                self.outputs[link.artifact_id][link.execution_id] = link.key
        self.places = {
            artifact.id: place
            for artifact in lineage.artifacts
            if (place := self._place(artifact)) is not None
        }

    def exists(self, artifact: ArtifactRecord) -> bool:
        return self.lineage.exists(artifact.uri)

    def _place(self, artifact: ArtifactRecord) -> Place | None:
        """Where an execution published the artifact; the URI must agree with the records."""
        place = place_of(artifact.uri, self.lineage.roots)
        if place is None:
            return None
        execution = self.lineage.executions.get(place.execution_id)
        is_own = (
            execution is not None
            and execution.node_id == place.node
            and execution.properties.get("pipeline_name") == self.lineage.pipeline
            and self.outputs[artifact.id].get(place.execution_id) == place.output
        )
        return place if is_own else None


def _protected(known: _Known) -> dict[int, str]:
    """The reasons, by artifact id, for all artifacts that must stay."""
    lineage = known.lineage
    claims = Claims(lineage.claimed)
    reasons = {**_resolvable(known), **_served(known)}
    for artifact in lineage.artifacts:
        runs = {str(e.properties.get("run_id", "")) for e in known.users[artifact.id]}
        pipelines = {str(e.properties.get("pipeline_name", "")) for e in known.users[artifact.id]}
        if open_ := sorted(runs & lineage.open_runs):
            reasons[artifact.id] = f"run {open_[-1]} is active or can be resumed"
        elif others := sorted(pipelines - {lineage.pipeline, ""}):
            reasons[artifact.id] = f"pipeline {others[0]} uses it"
        if artifact.custom_properties.get("is_external"):
            reasons[artifact.id] = "it was imported"
        elif place := place_of(artifact.uri, lineage.unreachable):
            reasons[artifact.id] = (
                f"its pipeline root {place.root} is unreachable, or belongs to another store"
            )
        elif artifact.id not in known.places:
            reasons[artifact.id] = "no run of the pipeline published it at its URI"
        elif claims.overlap(artifact.uri):
            reasons[artifact.id] = "an imported artifact is this directory or in it"
    return reasons


def _served(known: _Known) -> dict[int, str]:
    """Pushed models that are in a serving directory, and the models that they were copied from."""
    reasons = {}
    for pushed in known.newest:
        directory = str(pushed.custom_properties.get("pushed_destination", ""))
        if pushed.type_name == "PushedModel" and directory and _may_be_served(known, directory):
            reasons[pushed.id] = f"it is served from {directory}"
            reasons[_id_in(pushed, "pushed_model_id")] = f"it is served from {directory}"
    return reasons


def _may_be_served(known: _Known, directory: str) -> bool:
    if is_url(directory):
        return True
    path = normalized(directory)
    # If the base directory does not exist either, it may be on another machine or not mounted.
    return known.lineage.exists(path) or not known.lineage.exists(os.path.dirname(path))


def _resolvable(known: _Known) -> dict[int, str]:
    """The reasons, by artifact id, for the artifacts that a resolver can still return."""
    reasons = {}
    counts = _resolved_at_once(known)
    left: dict[tuple[str, str | None], int] = {}
    for artifact in known.newest:
        key = str(artifact.custom_properties.get("output_key", ""))
        for query in ((artifact.type_name, None), (artifact.type_name, key)):
            if left.setdefault(query, counts.get(artifact.type_name, 1)):
                left[query] -= known.exists(artifact)
                reasons[artifact.id] = f"the newest {artifact.type_name} of the pipeline"
    for id in _latest_blessed(known):
        reasons[id] = "part of the latest blessed model, the baseline"
    if (pinned := known.lineage.pinned) is not None:
        reasons[pinned] = "it was set as the baseline"
        for blessing in known.newest:
            if blessing.type_name == "ModelBlessing" and _model_of(blessing) == pinned:
                reasons[blessing.id] = "blessing of the model that was set as the baseline"
    return reasons


def _resolved_at_once(known: _Known) -> dict[str, int]:
    """By type, the largest number of artifacts that any resolver returned in its latest run."""
    newest: dict[str, int] = {}
    for id, artifacts in known.made.items():
        execution = known.lineage.executions.get(id)
        if execution is None or execution.state is not State.COMPLETE:
            continue
        if any(_was_resolved(known, artifact, id) for artifact in artifacts):
            newest[execution.node_id] = max(id, newest.get(execution.node_id, 0))
    counts: dict[str, int] = {}
    for id in newest.values():
        types = [known.artifacts[a].type_name for a in known.made[id] if a in known.artifacts]
        for name in set(types):
            counts[name] = max(types.count(name), counts.get(name, 1))
    return counts


def _was_resolved(known: _Known, artifact_id: int, execution_id: int) -> bool:
    place = known.places.get(artifact_id)
    return place is not None and place.execution_id != execution_id


def _latest_blessed(known: _Known) -> set[int]:
    found: set[int] = set()
    complete: set[str | None] = set()
    for blessing in known.newest:
        if not _is_blessing(blessing):
            continue
        model = known.artifacts.get(_model_of(blessing))
        keys = {None, str(blessing.custom_properties.get("output_key", ""))} - complete
        if model is not None and keys:
            found |= {blessing.id, model.id}
            complete |= keys if known.exists(blessing) and known.exists(model) else set()
    return found


def _kept(known: _Known, rules: KeepRules) -> dict[int, str]:
    """The rule, by artifact id, for all artifacts that a rule keeps."""
    reasons: dict[int, str] = {}
    if rules.since is not None:
        used = {a.id for a in known.newest if _last_used(known, a) >= rules.since}
        reasons |= dict.fromkeys(used, "--keep-since")
    if rules.last is not None:
        left: dict[tuple[str, str], int] = {}
        for artifact in known.newest:
            place = known.places.get(artifact.id)
            if place is None:
                continue
            output = (place.node, place.output)
            if left.setdefault(output, rules.last):
                left[output] -= known.exists(artifact)
                reasons[artifact.id] = "--keep-last"
    if rules.pushed:
        for pushed in known.newest:
            if pushed.type_name == "PushedModel" and pushed.custom_properties.get("pushed") == 1:
                ids = (pushed.id, _id_in(pushed, "pushed_model_id"))
                reasons |= dict.fromkeys(ids, "--keep-pushed")
    if rules.blessed:
        for blessing in filter(_is_blessing, known.newest):
            place = known.places.get(blessing.id)
            siblings = known.made[place.execution_id] if place else []
            together = (blessing.id, _model_of(blessing), *siblings)
            reasons |= dict.fromkeys(together, "--keep-blessed")
    return reasons


def _last_used(known: _Known, artifact: ArtifactRecord) -> int:
    return max([artifact.created, *(e.created for e in known.users[artifact.id])])


def _why_removed(known: _Known, artifact: ArtifactRecord, rules: KeepRules) -> str:
    place = known.places[artifact.id]
    reasons = []
    if rules.last is not None:
        reasons.append(f"not among the newest {rules.last} of {place.node}.{place.output}")
    if rules.blessed:
        reasons.append("not part of a blessed model")
    if rules.pushed:
        reasons.append("not part of a pushed model")
    if rules.since is not None:
        reasons.append("not used by a run since then")
    if not known.exists(artifact):
        reasons.append("its directory is missing")
    return ", ".join(reasons)


def _is_blessing(artifact: ArtifactRecord) -> bool:
    values = artifact.custom_properties
    return artifact.type_name == "ModelBlessing" and values.get("blessed") == 1


def _model_of(blessing: ArtifactRecord) -> int:
    return _id_in(blessing, "current_model_id")


def _id_in(artifact: ArtifactRecord, name: str) -> int:
    return int(artifact.custom_properties.get(name, 0))
