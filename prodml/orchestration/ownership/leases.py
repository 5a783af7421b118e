"""One run at a time for each pipeline: a lease that is held, beaten, and taken from the dead."""

from __future__ import annotations

import _thread
import contextlib
import datetime
import os
import select
import threading
from collections.abc import Callable, Iterator

from prodml.errors import BusyError, FencedError, MetadataUnavailableError, ProdmlError
from prodml.metadata.leases import LeaseTable
from prodml.metadata.records import LeaseRecord, ProcessRecord
from prodml.metadata.store import Store
from prodml.orchestration.ownership import liveness
from prodml.orchestration.ownership.liveness import is_held, is_on_this_machine, let_go, new_holder

_LOOK_SECONDS = 1.0

Wait = Callable[[LeaseRecord], None]
"""Called once with the lease that blocks this run."""


@contextlib.contextmanager
def hold(
    open_store: Callable[[], Store], pipeline: str, run_id: str, wait: Wait | None = None
) -> Iterator[LeaseRecord]:
    """Holds a pipeline while the block runs; nobody else does, on any machine.

    A thread records a heartbeat every ten seconds. If another process took this one for dead, as
    after a long sleep, the main thread is interrupted.

    Args:
        open_store: opens the store; the thread needs a connection of its own.
        run_id: the run that goes on, for others to see.
        wait: if given, a pipeline that is held is waited for.

    Raises:
        BusyError: another process holds it.
        FencedError: another process took it over while the block ran.
    """
    holder, is_released = new_holder(), False
    try:
        table = LeaseTable(open_store())
        try:
            lease = _take(table, pipeline, run_id, holder, wait)
        except BusyError:
            # There is no lease that anybody could look at.
            is_released = True
            raise
        heartbeat = _Heartbeat(open_store, lease)
        try:
            heartbeat.start()
            yield lease
        except MetadataUnavailableError:
            # Another retry would block just as long.
            heartbeat.stop()
            raise
        except BaseException as error:
            heartbeat.stop()
            is_lost = heartbeat.is_lost
            with contextlib.suppress(ProdmlError):
                # Whatever went wrong, it went wrong because of that.
                is_lost = is_lost or not table.is_newest(lease)
                table.release(lease)
                is_released = True
            if is_lost:
                raise FencedError(
                    f"run {run_id} was taken over: this process was silent for so long, as after a "
                    f"sleep, that another process holds pipeline {pipeline} now; see `prodml runs`"
                ) from error
            raise
        heartbeat.stop()
        table.release(lease)
        is_released = True
    finally:
        # This process may live for long: a lease that it could not release is free all the same.
        let_go(holder, is_released)


class _Heartbeat:
    """Records in a thread that the holder of a lease lives."""

    def __init__(self, open_store: Callable[[], Store], lease: LeaseRecord) -> None:
        self._open_store = open_store
        self._lease = lease
        self._is_done = threading.Event()
        self._table: LeaseTable | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.is_lost = False
        """Whether another process holds the pipeline."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns when no heartbeat can follow, which would make a released lease held again."""
        self._is_done.set()
        if self._thread.ident is None:
            return
        try:
            self._thread.join()
        except KeyboardInterrupt:
            # The thread's own: it found the lease lost when the block had ended.
            if not self.is_lost:
                raise
            self._thread.join()

    def _run(self) -> None:
        while not self._is_done.wait(liveness.HEARTBEAT_SECONDS) and not self.is_lost:
            # The next heartbeat makes up for one that fails; the run itself meets the error.
            with contextlib.suppress(ProdmlError):
                self._beat()

    def _beat(self) -> None:
        """Records a heartbeat, or interrupts the run if the lease is lost."""
        self._table = self._table or LeaseTable(self._open_store())
        if self._table.is_newest(self._lease):
            self._table.record_heartbeat(self._lease)
        else:
            self.is_lost = True
            _thread.interrupt_main()


def _take(
    table: LeaseTable, pipeline: str, run_id: str, holder: ProcessRecord, wait: Wait | None
) -> LeaseRecord:
    waited_for = None
    while True:
        newest = table.newest(pipeline)
        if newest is not None and is_held(newest):
            if wait is None:
                raise BusyError(_busy(newest))
            if waited_for != newest.id:
                wait(newest)
                waited_for = newest.id
            _look_again_later(newest)
            continue
        number = newest.number + 1 if newest else 1
        if lease := table.acquire(pipeline, number, run_id, holder):
            return lease


def _busy(lease: LeaseRecord) -> str:
    seen = datetime.datetime.fromtimestamp(lease.heartbeat / 1000)
    lapses = seen + datetime.timedelta(seconds=liveness.SILENCE_SECONDS)
    return (
        f"pipeline {lease.pipeline} is in use: {lease.run_id} goes on in process "
        f"{lease.holder.pid} on {lease.holder.host} (last seen {seen:%Y-%m-%d %H:%M:%S}); "
        f"wait for it with --wait, or stop it; if that process is dead, its lease lapses at "
        f"{lapses:%H:%M:%S}"
    )


def _look_again_later(lease: LeaseRecord) -> None:
    """Returns when the holder's process has ended, at the latest after a second."""
    if is_on_this_machine(lease.holder) and hasattr(os, "pidfd_open"):
        # Containers can forbid it.
        with contextlib.suppress(OSError):
            descriptor = os.pidfd_open(lease.holder.pid)
            try:
                # One that has ended, but is not waited for by its parent, would be found at once.
                if not select.select([descriptor], [], [], 0)[0]:
                    select.select([descriptor], [], [], _LOOK_SECONDS)
                    return
            finally:
                os.close(descriptor)
    threading.Event().wait(_LOOK_SECONDS)
