"""Which artifacts of a pipeline may go: records in, decisions with their reasons out."""

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
from prodml.storage.locations import is_url, normal


class Fate(StrEnum):
    """What becomes of an artifact."""

    KEPT = "kept"
    PROTECTED = "protected"
    REMOVED = "removed"


@dataclass(frozen=True)
class KeepRules:
    """What to keep: an artifact that one of them names stays.

    Attributes:
        last: so many of each output of each node, newest first; None for no such rule.
        blessed: models that were blessed, with the blessing and its evaluation.
        pushed: models that were pushed, with their PushedModel.
        since: what was made, or used by a run, since; Unix ms, None for no such rule.
    """

    last: int | None = None
    blessed: bool = False
    pushed: bool = False
    since: int | None = None


@dataclass(frozen=True)
class Lineage:
    """What is known of the live artifacts of a pipeline.

    Attributes:
        roots: directories in which its runs published.
        artifacts: live, that its runs made or used.
        executions: by id, all that the links name, of other pipelines, too.
        links: of these artifacts.
        open_runs: run ids, of any pipeline, that go on or can be resumed.
        pinned: id of the model that was set as the baseline.
        claimed: directories of imported artifacts, of any pipeline.
        is_there: whether a directory exists.
        away: roots that are not here (in an object store, on another machine, not mounted), or
            that do not say that they belong to this store.
    """

    pipeline: str
    roots: frozenset[str]
    artifacts: Sequence[ArtifactRecord]
    executions: Mapping[int, ExecutionRecord]
    links: Sequence[Link]
    open_runs: frozenset[str]
    pinned: int | None
    claimed: frozenset[str]
    is_there: Callable[[str], bool]
    away: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Decision:
    """What becomes of an artifact, and why; `place` is None where no run published it."""

    artifact: ArtifactRecord
    fate: Fate
    reason: str
    place: Place | None


def decide(lineage: Lineage, rules: KeepRules) -> list[Decision]:
    """What becomes of each live artifact, oldest first.

    One whose directory is gone takes no place among the newest, but is not removed for that: it may
    only be out of reach.

    Never removed, whatever the rules: what a run that goes on or can be resumed made or used, what
    another pipeline used, what is served, what a resolver can still ask for, what was imported,
    and what does not lie where a run published it.
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
    """Ids of the runs that go on, and of each pipeline's newest that did not end well.

    Args:
        runs: oldest first.
    """
    found = {run.run_id for run in runs if run.state is RunState.RUNNING}
    unfinished = {run.pipeline: run.run_id for run in runs if run.state is not RunState.COMPLETE}
    return frozenset(found | set(unfinished.values()))


class _Known:
    """A lineage, and what follows from it."""

    def __init__(self, lineage: Lineage) -> None:
        self.lineage = lineage
        self.artifacts = {artifact.id: artifact for artifact in lineage.artifacts}
        self.newest = sorted(lineage.artifacts, key=lambda artifact: artifact.id, reverse=True)
        self.users: dict[int, list[ExecutionRecord]] = defaultdict(list)
        """Executions that made, found or used an artifact."""
        self.made: dict[int, list[int]] = defaultdict(list)
        """Artifacts that an execution gave."""
        self.outputs: dict[int, dict[int, str]] = defaultdict(dict)
        """Output key by execution, of an artifact."""
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

    def is_there(self, artifact: ArtifactRecord) -> bool:
        return self.lineage.is_there(artifact.uri)

    def _place(self, artifact: ArtifactRecord) -> Place | None:
        """Where the execution that made it put it; its URI alone is not believed."""
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
    """Why, by artifact id, of all that must stay."""
    lineage = known.lineage
    claims = Claims(lineage.claimed)
    reasons = {**_asked_for(known), **_served(known)}
    for artifact in lineage.artifacts:
        runs = {str(e.properties.get("run_id", "")) for e in known.users[artifact.id]}
        pipelines = {str(e.properties.get("pipeline_name", "")) for e in known.users[artifact.id]}
        if open_ := sorted(runs & lineage.open_runs):
            reasons[artifact.id] = f"run {open_[-1]} goes on or can be resumed"
        elif others := sorted(pipelines - {lineage.pipeline, ""}):
            reasons[artifact.id] = f"pipeline {others[0]} uses it"
        if artifact.custom_properties.get("is_external"):
            reasons[artifact.id] = "it was imported"
        elif away := place_of(artifact.uri, lineage.away):
            reasons[artifact.id] = (
                f"its pipeline root {away.root} is not here, or is another store's"
            )
        elif artifact.id not in known.places:
            reasons[artifact.id] = "it lies where no run of the pipeline published it"
        elif claims.meet(artifact.uri):
            reasons[artifact.id] = "an imported artifact is this directory or lies in it"
    return reasons


def _served(known: _Known) -> dict[int, str]:
    """Pushed models that stand in a serving directory, and the models that they were."""
    reasons = {}
    for pushed in known.newest:
        directory = str(pushed.custom_properties.get("pushed_destination", ""))
        if pushed.type_name == "PushedModel" and directory and _stands(known, directory):
            reasons[pushed.id] = f"it stands in {directory}"
            reasons[_id_in(pushed, "pushed_model_id")] = f"it stands in {directory}"
    return reasons


def _stands(known: _Known, directory: str) -> bool:
    if is_url(directory):
        return True
    here = normal(directory)
    # Where the base directory is not here either, it may be on another machine or not mounted.
    return known.lineage.is_there(here) or not known.lineage.is_there(os.path.dirname(here))


def _asked_for(known: _Known) -> dict[int, str]:
    """What a resolver can still ask for, by the strategies that there are."""
    reasons = {}
    counts = _found_at_once(known)
    left: dict[tuple[str, str | None], int] = {}
    for artifact in known.newest:
        key = str(artifact.custom_properties.get("output_key", ""))
        for asked in ((artifact.type_name, None), (artifact.type_name, key)):
            if left.setdefault(asked, counts.get(artifact.type_name, 1)):
                left[asked] -= known.is_there(artifact)
                reasons[artifact.id] = f"the newest {artifact.type_name} of the pipeline"
    for id in _latest_blessed(known):
        reasons[id] = "of the latest blessed model, the baseline"
    if (pinned := known.lineage.pinned) is not None:
        reasons[pinned] = "it was set as the baseline"
        for blessing in known.newest:
            if blessing.type_name == "ModelBlessing" and _model_of(blessing) == pinned:
                reasons[blessing.id] = "blessing of the model that was set as the baseline"
    return reasons


def _found_at_once(known: _Known) -> dict[str, int]:
    """How many artifacts of a type each resolver found when it ran last; the most of any."""
    newest: dict[str, int] = {}
    for id, artifacts in known.made.items():
        execution = known.lineage.executions.get(id)
        if execution is None or execution.state is not State.COMPLETE:
            continue
        if any(_was_found(known, artifact, id) for artifact in artifacts):
            newest[execution.node_id] = max(id, newest.get(execution.node_id, 0))
    counts: dict[str, int] = {}
    for id in newest.values():
        types = [known.artifacts[a].type_name for a in known.made[id] if a in known.artifacts]
        for name in set(types):
            counts[name] = max(types.count(name), counts.get(name, 1))
    return counts


def _was_found(known: _Known, artifact_id: int, execution_id: int) -> bool:
    place = known.places.get(artifact_id)
    return place is not None and place.execution_id != execution_id


def _latest_blessed(known: _Known) -> set[int]:
    found: set[int] = set()
    settled: set[str | None] = set()
    for blessing in known.newest:
        if not _is_blessing(blessing):
            continue
        model = known.artifacts.get(_model_of(blessing))
        keys = {None, str(blessing.custom_properties.get("output_key", ""))} - settled
        if model is not None and keys:
            found |= {blessing.id, model.id}
            settled |= keys if known.is_there(blessing) and known.is_there(model) else set()
    return found


def _kept(known: _Known, rules: KeepRules) -> dict[int, str]:
    """By which rule, of all that the rules name."""
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
                left[output] -= known.is_there(artifact)
                reasons[artifact.id] = "--keep-last"
    if rules.pushed:
        for pushed in known.newest:
            if pushed.type_name == "PushedModel" and pushed.custom_properties.get("pushed") == 1:
                ids = (pushed.id, _id_in(pushed, "pushed_model_id"))
                reasons |= dict.fromkeys(ids, "--keep-pushed")
    if rules.blessed:
        for blessing in filter(_is_blessing, known.newest):
            place = known.places.get(blessing.id)
            beside = known.made[place.execution_id] if place else []
            together = (blessing.id, _model_of(blessing), *beside)
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
        reasons.append("of no blessed model")
    if rules.pushed:
        reasons.append("of no pushed model")
    if rules.since is not None:
        reasons.append("used by no run since then")
    if not known.is_there(artifact):
        reasons.append("its directory is gone")
    return ", ".join(reasons)


def _is_blessing(artifact: ArtifactRecord) -> bool:
    values = artifact.custom_properties
    return artifact.type_name == "ModelBlessing" and values.get("blessed") == 1


def _model_of(blessing: ArtifactRecord) -> int:
    return _id_in(blessing, "current_model_id")


def _id_in(artifact: ArtifactRecord, name: str) -> int:
    return int(artifact.custom_properties.get(name, 0))
