"""Invariants after a run was killed and resumed, any number of times and at any point."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from support import warm

from prodml.metadata.leases import LeaseTable
from prodml.metadata.reading import LineageReader
from prodml.metadata.records import RunState, State
from prodml.metadata.store import Store
from prodml.orchestration.ownership.liveness import is_held
from prodml.orchestration.publish import manifest

ENDED_WELL = (State.COMPLETE, State.CACHED)


def finished_nodes(home: Path) -> dict[str, int]:
    """Ids of the executions that the newest run has completed, by node."""
    reader = LineageReader(Store(str(home / "metadata.db")))
    runs = reader.runs(1)
    executions = reader.executions_of_run(runs[0].run_id) if runs else []
    return {e.node_id: e.id for e in executions if e.state in ENDED_WELL}


def check_after_a_kill(home: Path, serving: Path) -> None:
    """Checks what the next command shows before the run is resumed."""
    check_versions(serving)
    if not (home / "metadata.db").exists():
        return
    shown = shown_runs(home)
    assert all(run["state"] != "RUNNING" for run in shown), shown
    reader = LineageReader(Store(str(home / "metadata.db")))
    for run in reader.runs(1):
        for execution in reader.executions_of_run(run.run_id):
            assert execution.state is not State.RUNNING, execution
    check_live_artifacts(reader)


def check_after_an_interrupt(home: Path, serving: Path) -> None:
    """Checks the state after a clean end: stricter than after a kill, as nothing is unfinished."""
    check_after_a_kill(home, serving)
    if not (home / "metadata.db").exists():
        return
    reader = LineageReader(Store(str(home / "metadata.db")))
    for run in reader.runs(1):
        assert run.state in (RunState.CANCELED, RunState.COMPLETE), run
        unfinished = [
            e.id for e in reader.executions_of_run(run.run_id) if e.state not in ENDED_WELL
        ]
        assert not any(link.is_output for link in reader.links_of_executions(unfinished))
        if Path(run.pipeline_root).exists():
            check_no_leftovers(Path(run.pipeline_root), reader)


def shown_runs(home: Path) -> list[dict[str, Any]]:
    """The runs that `prodml runs` shows."""
    command = [sys.executable, "-m", "prodml", "runs", "--json"]
    done = warm.run(command, cwd=home.parent, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    shown: list[dict[str, Any]] = json.loads(done.stdout)
    return shown


def check_at_the_end(
    home: Path, serving: Path, finished: Mapping[str, int], links: Mapping[str, int]
) -> None:
    """After the run is complete.

    Args:
        finished: executions that were known as finished after one of the kills.
        links: how many artifacts each node must have made and used, by key.
    """
    reader = LineageReader(Store(str(home / "metadata.db")))
    (run,) = reader.runs(10)
    assert run.state is RunState.COMPLETE
    executions = reader.executions_of_run(run.run_id)
    ended_well = [e for e in executions if e.state in ENDED_WELL]
    assert ended_well
    assert max(Counter(e.node_id for e in ended_well).values()) == 1, "a node was run again"
    for node_id, execution_id in finished.items():
        assert execution_id in {e.id for e in ended_well}, f"{node_id} was run again"
    assert all(e.state is not State.RUNNING for e in executions)
    found = links_of(reader, run.run_id)
    assert found == dict(links), found
    events = reader.links_of_executions(e.id for e in ended_well)
    live = check_live_artifacts(reader)
    assert live == {event.artifact_id for event in events if event.is_output}
    used = {event.artifact_id for event in events if not event.is_output}
    assert used <= live
    check_no_leftovers(Path(run.pipeline_root), reader)
    check_versions(serving)
    assert len(versions_of(serving, run.run_id)) == 1, "one push, one version"
    lease = LeaseTable(Store(str(home / "metadata.db"))).by_id([run.lease_id])[run.lease_id]
    assert not is_held(lease)


def links_of(reader: LineageReader, run_id: str) -> dict[str, int]:
    """Counts of the artifacts that completed nodes made, `A made x`, and used, `B used x`."""
    nodes = {e.id: e.node_id for e in reader.executions_of_run(run_id) if e.state in ENDED_WELL}
    return dict(
        Counter(
            f"{nodes[event.execution_id]} {'made' if event.is_output else 'used'} {event.key}"
            for event in reader.links_of_executions(nodes)
        )
    )


def check_live_artifacts(reader: LineageReader) -> set[int]:
    """Checks that every live artifact is complete on disk; returns their ids."""
    live = [a for a in reader.list_artifacts(1000) if a.state == "LIVE"]
    for artifact in live:
        assert manifest.difference(artifact.uri) is None, artifact
    return {artifact.id for artifact in live}


def check_no_leftovers(pipeline_root: Path, reader: LineageReader) -> None:
    """Checks that the pipeline's root contains exactly the recorded artifacts."""
    recorded = {a.uri for a in reader.list_artifacts(1000) if a.state == "LIVE"}
    for node in pipeline_root.iterdir():
        for output in node.iterdir():
            assert not output.name.startswith("."), output
            for artifact in output.iterdir():
                assert str(artifact) in recorded, artifact


def check_versions(serving: Path) -> None:
    """Checks that every directory that a polling server sees as a version is complete."""
    for version in versions(serving):
        assert (version / "saved_model.pb").stat().st_size > 0
        assert (version / ".prodml-push.json").exists()


def versions(serving: Path) -> list[Path]:
    if not serving.exists():
        return []
    return [path for path in serving.iterdir() if path.name.isdigit()]


def versions_of(serving: Path, run_id: str) -> list[Path]:
    """The versions that one run has pushed."""
    origins = {v: json.loads((v / ".prodml-push.json").read_text()) for v in versions(serving)}
    return [v for v, pushed in origins.items() if run_id in pushed["origin"].split("/")]
