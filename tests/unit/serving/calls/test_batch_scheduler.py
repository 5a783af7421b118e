from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prodml.errors import ServingError
from prodml.serving.calls.batch_scheduler import BatchScheduler, Task
from prodml.serving.configuration.batching_parameters import BatchingOptions

_TIMEOUT = 5.0
_OPTIONS = BatchingOptions(
    max_batch_size=2, max_enqueued_batches=4, batch_timeout_micros=int(_TIMEOUT * 1e6)
)

_shapes = st.sampled_from("abcde")
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("enqueue"), _shapes, st.integers(1, 2)),
        st.tuples(st.just("withdraw"), st.integers(0, 50)),
        st.tuples(st.just("take")),
        st.tuples(st.just("wait"), st.sampled_from([0.1, 2.0, _TIMEOUT])),
    ),
    max_size=60,
)


class History:
    """Applies steps to a scheduler, and records their observable results.

    Attributes:
        waiting: the tasks that were enqueued and have not left, with their queue.
        served: queues that were served since each queue with a batch that may run was last served.
    """

    def __init__(self, options: BatchingOptions = _OPTIONS) -> None:
        self.scheduler: BatchScheduler[Task] = BatchScheduler(options)
        self.now = 0.0
        self.waiting: dict[Task, str] = {}
        self.served: dict[str, Counter[str]] = {}

    def play(self, step: tuple) -> None:
        getattr(self, step[0])(*step[1:])
        # From when a queue has a batch that may run, record the queues that are served before it.
        for queue in set(self.waiting.values()):
            if self.scheduler.due(queue) <= self.now:
                self.served.setdefault(queue, Counter())

    def enqueue(self, queue: str, rows: int) -> bool:
        task = Task(rows)
        try:
            pushed_out = self.scheduler.enqueue(queue, "m", task, self.now)
        except ServingError as error:
            assert error.code == "RESOURCE_EXHAUSTED"
            return False
        self.waiting[task] = queue
        for other in pushed_out:
            self._left(other)
        return True

    def withdraw(self, index: int) -> None:
        if self.waiting:
            task = list(self.waiting)[index % len(self.waiting)]
            assert self.scheduler.withdraw(task)
            self._left(task)

    def take(self) -> None:
        batch = self.scheduler.next_batch(self.now)
        if batch is None:
            return
        (queue,) = {self.waiting[task] for task in batch.tasks}
        self.served.pop(queue, None)
        for watched in self.served.values():
            watched[queue] += 1
        for task in batch.tasks:
            self._left(task)

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def _left(self, task: Task) -> None:
        queue = self.waiting.pop(task)
        if queue not in self.waiting.values():
            self.served.pop(queue, None)


@given(_steps)
def test_no_queue_is_served_twice_while_another_may_run(steps):
    history = History()
    for step in steps:
        history.play(step)
        for watched in history.served.values():
            assert max(watched.values(), default=0) <= 1, watched


@given(_steps)
def test_batches_of_all_queues_of_a_model_stay_within_the_bound(steps):
    history = History()
    for step in steps:
        history.play(step)
        assert history.scheduler.batches("m") <= _OPTIONS.max_enqueued_batches
        assert (history.scheduler.batches("m") == 0) == (not history.waiting)


@given(_steps)
def test_every_task_that_is_not_withdrawn_runs_once(steps):
    history = History()
    for step in steps:
        history.play(step)
    history.wait(_TIMEOUT)
    while history.waiting:
        before = len(history.waiting)
        history.take()
        assert len(history.waiting) < before
    assert history.scheduler.next_batch(history.now) is None
    assert history.scheduler.next_due() is None


@given(_steps, _shapes)
def test_a_backlog_of_one_queue_leaves_room_for_another(steps, newcomer):
    history = History()
    for step in steps:
        history.play(step)
    if newcomer in history.waiting.values():
        return
    others = Counter({queue: history.scheduler.batches("m", queue) for queue in "abcde"})
    is_refused = not history.enqueue(newcomer, 1)
    is_full = others.total() == _OPTIONS.max_enqueued_batches
    assert is_refused == (is_full and max(others.values()) == 1)


def test_a_flood_of_one_shape_delays_other_shapes_by_one_batch_at_most():
    history = History(BatchingOptions(max_batch_size=1, max_enqueued_batches=100))
    for _ in range(50):
        history.enqueue("flood", 1)
    history.enqueue("other", 1)
    history.take()
    history.take()
    assert "other" not in history.waiting.values()


def test_a_single_queue_is_rejected_at_the_limit():
    history = History(BatchingOptions(max_batch_size=1, max_enqueued_batches=2))
    assert [history.enqueue("a", 1) for _ in range(3)] == [True, True, False]


def test_another_model_has_its_own_limit():
    scheduler: BatchScheduler[Task] = BatchScheduler(
        BatchingOptions(max_batch_size=1, max_enqueued_batches=1)
    )
    scheduler.enqueue("a", "one", Task(1), 0.0)
    scheduler.enqueue("b", "two", Task(1), 0.0)
    with pytest.raises(ServingError, match="scheduling queue .* is full"):
        scheduler.enqueue("c", "two", Task(1), 0.0)


def test_the_rows_of_a_withdrawn_task_are_free_for_others():
    scheduler: BatchScheduler[Task] = BatchScheduler(
        BatchingOptions(max_batch_size=2, max_enqueued_batches=1)
    )
    gone, stays, late = Task(1), Task(1), Task(1)
    scheduler.enqueue("a", "m", gone, 0.0)
    scheduler.enqueue("a", "m", stays, 0.0)
    assert scheduler.withdraw(gone)
    assert not scheduler.withdraw(gone)
    scheduler.enqueue("a", "m", late, 0.0)
    batch = scheduler.next_batch(0.0)
    assert batch is not None and list(batch.tasks) == [stays, late]
