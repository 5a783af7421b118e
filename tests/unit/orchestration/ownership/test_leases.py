"""Leases that are held, released, and abandoned, on a real store."""

import itertools
import multiprocessing
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from prodml.errors import BusyError, FencedError, MetadataUnavailableError
from prodml.metadata.leases import LeaseTable
from prodml.metadata.records import LeaseRecord, ProcessRecord
from prodml.metadata.store import Store
from prodml.orchestration.ownership import liveness
from prodml.orchestration.ownership.leases import hold
from prodml.orchestration.ownership.liveness import is_held


@pytest.fixture
def open_store(tmp_path: Path) -> Callable[[], Store]:
    return lambda: Store(str(tmp_path / "metadata.db"))


def newest(open_store: Callable[[], Store]) -> LeaseRecord:
    found = LeaseTable(open_store()).newest("p")
    assert found is not None
    return found


def held_elsewhere(lease: LeaseRecord) -> bool:
    """Whether another process on this machine sees a lease as held."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(is_held, (lease,))


def test_a_pipeline_is_free_after_the_block(open_store: Callable[[], Store]) -> None:
    with hold(open_store, "p", "run-1"), pytest.raises(BusyError), hold(open_store, "p", "run-2"):
        pass
    with hold(open_store, "p", "run-3") as lease:
        assert lease.number == 2


def test_a_lease_that_could_not_be_released_is_free_while_its_process_lives(
    open_store: Callable[[], Store],
) -> None:
    with pytest.raises(MetadataUnavailableError), hold(open_store, "p", "run-1"):
        raise MetadataUnavailableError("the database is unreachable")
    left = newest(open_store)
    assert not left.ended
    assert not is_held(left)
    assert not held_elsewhere(left)


@pytest.mark.parametrize("step", ["acquire", "release"])
def test_an_interrupt_before_or_after_the_block_leaves_a_free_lease(
    open_store: Callable[[], Store], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    real = getattr(LeaseTable, step)

    def interrupted(*arguments: object) -> None:
        if step == "acquire":
            real(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(LeaseTable, step, interrupted)
    with pytest.raises(KeyboardInterrupt), hold(open_store, "p", "run-1"):
        pass
    monkeypatch.undo()
    left = newest(open_store)
    assert not left.ended
    assert not is_held(left)
    assert not held_elsewhere(left)


class LateHeartbeat:
    """Opens stores; delays the store of the heartbeat thread until the block has ended."""

    def __init__(self, open_store: Callable[[], Store]) -> None:
        self._open_store = open_store
        self._has_ended = threading.Event()

    def __call__(self) -> Store:
        if threading.current_thread() is not threading.main_thread():
            self._has_ended.wait(30)
        return self._open_store()

    def take_over_and_end(self, lease: LeaseRecord) -> None:
        thief = ProcessRecord("there", "boot", 1, "token")
        assert LeaseTable(self._open_store()).acquire("p", lease.number + 1, "run-1", thief)
        self._has_ended.set()


def test_a_failed_block_reports_a_lost_lease_that_is_noticed_after_its_end(
    open_store: Callable[[], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness, "HEARTBEAT_SECONDS", 0.0)
    late = LateHeartbeat(open_store)
    with (
        pytest.raises(FencedError, match="run run-1 was taken over"),
        hold(late, "p", "run-1") as lease,
    ):
        late.take_over_and_end(lease)
        raise ValueError("deliberate")


def test_a_block_that_succeeded_is_not_interrupted(
    open_store: Callable[[], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness, "HEARTBEAT_SECONDS", 0.0)
    late = LateHeartbeat(open_store)
    with hold(late, "p", "run-1") as lease:
        late.take_over_and_end(lease)
    assert newest(open_store).number == 2


def test_other_leases_of_the_process_stay_held_if_one_is_abandoned(
    open_store: Callable[[], Store],
) -> None:
    with hold(open_store, "p", "run-1"):
        with pytest.raises(MetadataUnavailableError), hold(open_store, "other", "run-2"):
            raise MetadataUnavailableError("the database is unreachable")
        with pytest.raises(BusyError), hold(open_store, "p", "run-3"):
            pass


def test_waiting_works_where_the_system_forbids_pidfd_open(
    open_store: Callable[[], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(pid: int) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.pidfd_open", forbidden)
    monkeypatch.setattr("prodml.orchestration.ownership.leases._POLL_SECONDS", 0.01)
    looks = itertools.count()
    monkeypatch.setattr(
        "prodml.orchestration.ownership.leases.is_held", lambda lease: next(looks) < 2
    )
    with hold(open_store, "p", "run-1"):
        waited_for: list[LeaseRecord] = []
        with hold(open_store, "p", "run-2", waited_for.append) as lease:
            assert lease.number == 2
    assert [each.run_id for each in waited_for] == ["run-1"]
