"""Summary at the end of a run: new artifacts, notes of nodes, counts and duration."""

from __future__ import annotations

from prodml.cli.printing import print_table, seconds_text
from prodml.cli.terminal import say
from prodml.metadata.reading import LineageReader
from prodml.metadata.records import ArtifactRecord
from prodml.orchestration.results import NodeState, RunResult


def print_summary(result: RunResult, reader: LineageReader) -> None:
    """Prints the summary of a run."""
    records = _outputs(result, reader)
    produced = [
        (str(i), records[i].type_name, f"{node.node_id}.{key}", records[i].uri)
        for node in result.nodes
        if node.state is NodeState.COMPLETE
        for key, found in node.outputs.items()
        for i in found
        if records[i].custom_properties.get("producer_component") == node.node_id
    ]
    say()
    if produced:
        print_table(["artifact", "type", "from", "uri"], produced)
    else:
        say("nothing new was produced")
    for node in result.nodes:
        earlier = " (in the earlier run)" if node.state is NodeState.CACHED else ""
        for note in node.notes:
            say(f"\n{node.node_id}{earlier}: {note}")
        if node.superseded:
            say(f"\n{node.node_id}: {node.superseded}")
    counts = [
        f"{sum(node.state is state for node in result.nodes)} {state}"
        for state in NodeState
        if any(node.state is state for node in result.nodes)
    ]
    say(f"\nrun {result.run_id}: {', '.join(counts)} in {seconds_text(result.seconds)}")


def was_pushed(result: RunResult, reader: LineageReader) -> bool:
    """Returns whether the run's model is the newest version at its destination.

    The model may have been pushed by this run, or by the run that the Pusher was cached from.
    """
    records = _outputs(result, reader)
    return any(
        records[i].type_name == "PushedModel" and records[i].custom_properties.get("pushed") == 1
        for node in result.nodes
        if not node.superseded
        for found in node.outputs.values()
        for i in found
    )


def _outputs(result: RunResult, reader: LineageReader) -> dict[int, ArtifactRecord]:
    ids = [i for node in result.nodes for found in node.outputs.values() for i in found]
    return {record.id: record for record in reader.artifacts(ids)}
