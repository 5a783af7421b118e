"""A trigger starts one run even if several processes claim it at the same time, on any database."""

from support.at_once import ROUNDS, claims_of_many_processes, type_ids_of_many_processes
from support.database_servers import DatabaseServer

from prodml.metadata.connection import Connection
from prodml.metadata.reading import LineageReader
from prodml.metadata.store import Store
from prodml.metadata.trigger_claims import TriggerTable


def test_one_of_many_processes_gets_a_claim_and_the_others_record_nothing(
    connection: Connection,
) -> None:
    answers = claims_of_many_processes(connection)
    winners = [[number for number in each if number is not None] for each in answers]
    assert [len(each) for each in winners] == [1] * ROUNDS
    store = Store(connection)
    started = {f"run-{round}-{winner}" for round, (winner,) in enumerate(winners)}
    assert {run.run_id for run in LineageReader(store).runs(100)} == started
    for round, (winner,) in enumerate(winners):
        for kind in ("new_span", "older_than"):
            found = TriggerTable(store).run_ids("p", f"{kind}:{round}")
            assert found == [f"run-{round}-{winner}"]


def test_processes_that_register_a_type_at_the_same_time_get_the_same_type(
    postgresql: DatabaseServer,
) -> None:
    # Elsewhere, a lock or the database prevents a second type of the same name.
    connection = postgresql.connection(postgresql.new_database())
    Store(connection)
    ids = type_ids_of_many_processes(connection)
    assert [len(set(each)) for each in ids] == [1] * ROUNDS
