"""Many processes that write to one store at once; a module that a new process can import."""

import importlib
import multiprocessing

from prodml.artifacts import Model
from prodml.metadata.connection import Connection
from prodml.metadata.reading import LineageReader
from prodml.metadata.records import Attempt, RunState, State
from prodml.metadata.run_writing import RunWriter
from prodml.metadata.store import Store
from prodml.metadata.writing import LineageWriter

PROCESSES, EXECUTIONS = 8, 50


def write_with_many_processes(connection: Connection) -> None:
    """Checks that each process records its run once, even if all create the tables at once."""
    context = multiprocessing.get_context("spawn")
    # Imported again, because earlier tests may have reloaded user modules, and this module, too.
    write = importlib.import_module("support.many_writers").write_executions
    processes = [
        context.Process(target=write, args=(connection, number, EXECUTIONS))
        for number in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * PROCESSES
    reader = LineageReader(Store(connection))
    names = set()
    for number in range(PROCESSES):
        executions = reader.executions_of_run(f"run-{number}")
        assert [e.state for e in executions] == [State.COMPLETE] * EXECUTIONS
        outputs = reader.links_of_executions(e.id for e in executions)
        assert len({link.artifact_id for link in outputs}) == EXECUTIONS
        names |= {e.name for e in executions}
        assert reader.run(f"run-{number}").state is RunState.COMPLETE
    assert len(names) == PROCESSES * EXECUTIONS
    assert len(list(reader.newest_artifacts("p", "Model"))) == PROCESSES * EXECUTIONS


def write_executions(connection: Connection, number: int, executions: int) -> None:
    """Records a run with executions, each with an artifact that the next execution uses."""
    store = Store(connection, retry_seconds=120)
    writer, runs, reader = LineageWriter(store), RunWriter(store), LineageReader(store)
    run = f"run-{number}"
    runs.begin_run("p", run, "{}")
    used: list[Model] = []
    for index in range(executions):
        attempt = Attempt("p", run, f"node-{index}", "T")
        execution = writer.begin_execution(attempt, {}, {"model": used}, [f"{run}:{index}"])
        made = Model(final_uri=f"/{run}/{index}")
        ids = writer.complete_execution(execution, {"n": index}, {"model": [made]})
        used = [Model(id=ids["model"][0])]
        assert reader.cached_executions(f"{run}:{index}")[0].id == execution
    runs.end_run(run, RunState.COMPLETE)
