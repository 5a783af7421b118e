"""One run at a time for each pipeline: a lease that is held, beaten, and taken from the dead."""

from __future__ import annotations

import _thread
import contextlib
import datetime
import os
import select
import threading
from collections.abc import Callable, Iterator

from prodml.errors import BusyError, MetadataUnavailableError, ProdmlError
from prodml.metadata.leases import LeaseTable
from prodml.metadata.records import LeaseRecord
from prodml.metadata.store import Store
from prodml.orchestration.liveness import HEARTBEAT_SECONDS, is_held, is_here, this_process

_LOOK_SECONDS = 1.0

Wait = Callable[[LeaseRecord], None]
"""Is told for whom it waits, once."""


@contextlib.contextmanager
def hold(
    open_store: Callable[[], Store], pipeline: str, run_id: str, wait: Wait | None = None
) -> Iterator[LeaseRecord]:
    """Holds a pipeline while the block runs; nobody else does, on any machine.

    A thread records every ten seconds that this process lives. If another process took this one
    for dead, as after a long sleep, the main thread is interrupted.

    Args:
        open_store: opens the store; the thread needs a connection of its own.
        run_id: the run that goes on, for others to see.
        wait: where it is given, a pipeline that is held is waited for.

    Raises:
        BusyError: somebody else holds it.
    """
    table = LeaseTable(open_store())
    lease = _take(table, pipeline, run_id, wait)
    done = threading.Event()
    beating = threading.Thread(target=_beat, args=(open_store, lease, done), daemon=True)
    beating.start()
    try:
        yield lease
    except MetadataUnavailableError:
        # To try again would only take as long once more; our death gives it back.
        raise
    except BaseException:
        with contextlib.suppress(ProdmlError):
            table.give_back(lease)
        raise
    else:
        table.give_back(lease)
    finally:
        done.set()


def _take(table: LeaseTable, pipeline: str, run_id: str, wait: Wait | None) -> LeaseRecord:
    told = None
    while True:
        newest = table.newest(pipeline)
        if newest is not None and is_held(newest):
            if wait is None:
                raise BusyError(_busy(newest))
            if told != newest.id:
                wait(newest)
                told = newest.id
            _look_again_later(newest)
            continue
        number = newest.number + 1 if newest else 1
        if lease := table.take(pipeline, number, run_id, this_process()):
            return lease


def _busy(lease: LeaseRecord) -> str:
    seen = datetime.datetime.fromtimestamp(lease.heartbeat / 1000)
    return (
        f"pipeline {lease.pipeline} is in use: {lease.run_id} goes on in process "
        f"{lease.holder.pid} on {lease.holder.host} (last seen {seen:%Y-%m-%d %H:%M:%S}); "
        f"wait for it with --wait, or stop it"
    )


def _look_again_later(lease: LeaseRecord) -> None:
    """Returns when the holder's process has ended, at the latest after a second."""
    if is_here(lease.holder) and hasattr(os, "pidfd_open"):
        with contextlib.suppress(ProcessLookupError):
            descriptor = os.pidfd_open(lease.holder.pid)
            try:
                select.select([descriptor], [], [], _LOOK_SECONDS)
            finally:
                os.close(descriptor)
            return
    threading.Event().wait(_LOOK_SECONDS)


def _beat(open_store: Callable[[], Store], lease: LeaseRecord, done: threading.Event) -> None:
    table = None
    while not done.wait(HEARTBEAT_SECONDS):
        # A beat that fails is made up for by the next; the run itself learns what is wrong.
        with contextlib.suppress(ProdmlError):
            table = table or LeaseTable(open_store())
            if not table.is_newest(lease):
                _thread.interrupt_main()
                return
            table.beat(lease)
