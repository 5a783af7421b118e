"""What each of many processes writes to one store; a module that a new process can import."""

from prodml.artifacts import Model
from prodml.metadata.connection import Connection
from prodml.metadata.reading import LineageReader
from prodml.metadata.records import RunState
from prodml.metadata.store import Store
from prodml.metadata.writing import LineageWriter


def write_executions(connection: Connection, number: int, executions: int) -> None:
    """Records a run with so many executions, each with an artifact that the next one uses."""
    store = Store(connection, retry_seconds=120)
    writer, reader = LineageWriter(store), LineageReader(store)
    run = f"run-{number}"
    writer.begin_run("p", run, "{}")
    used: list[Model] = []
    for index in range(executions):
        execution = writer.begin_execution("p", run, f"node-{index}", "T", {}, {"model": used})
        made = Model(final_uri=f"/{run}/{index}")
        ids = writer.complete_execution(
            execution, {"n": index}, {"model": [(f"{run}:{index}", made)]}, [f"{run}:{index}"]
        )
        used = [Model(id=ids["model"][0])]
        assert reader.cached_executions(f"{run}:{index}")[0].id == execution
    writer.end_run(run, RunState.COMPLETE)
