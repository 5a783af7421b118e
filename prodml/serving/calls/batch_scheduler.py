"""Decides which batch runs next: queues of tasks, served in turn, without clock or threads.

The rules are those of TensorFlow's shared batch scheduler
(`core/kernels/batching_util/shared_batch_scheduler.h`): each idle thread runs one batch of the
next queue that has one ready. One rule differs: the limit on waiting batches applies to all queues
of a model together, because clients create queues by the shapes they send. When a model is at its
limit, the longest queue loses a batch to a queue that is shorter by two batches or more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from prodml.errors import ServingError
from prodml.serving.configuration.batching_parameters import BatchingOptions


@dataclass(eq=False)
class Task:
    """Rows that wait for a batch; callers subclass it to add what they need to run the rows.

    Attributes:
        rows: number of rows.
    """

    rows: int
    _queue: _Queue[Any] | None = field(default=None, init=False, repr=False)
    _batch: Batch[Any] | None = field(default=None, init=False, repr=False)


TaskT = TypeVar("TaskT", bound=Task)


@dataclass(eq=False)
class Batch(Generic[TaskT]):
    """Tasks that run together.

    Attributes:
        opened_at: when the first task arrived, in seconds.
        tasks: the tasks in order of arrival.
        rows: number of rows of all tasks.
    """

    opened_at: float
    # An ordered set: tasks are withdrawn from the middle.
    tasks: dict[TaskT, None] = field(default_factory=dict)
    rows: int = 0


@dataclass(eq=False)
class _Queue(Generic[TaskT]):
    """Batches of one key; the last one accepts more rows."""

    key: Hashable
    model: str
    batches: deque[Batch[TaskT]] = field(default_factory=deque)


class BatchScheduler(Generic[TaskT]):
    """Queues of batches that take turns.

    Args:
        options: batch sizes, timeout and the limit on waiting batches.
    """

    def __init__(self, options: BatchingOptions) -> None:
        self._options = options
        # Queues that have batches, in the order of their turns. A new queue and one that was
        # just served are appended at the end.
        self._queues: dict[Hashable, _Queue[TaskT]] = {}

    def enqueue(self, key: Hashable, model: str, task: TaskT, now: float) -> list[TaskT]:
        """Adds a task to the queue of its key.

        Args:
            key: tasks of one key can run together.
            model: name of the model; the limit on waiting batches is per model.
            task: at most as many rows as a batch may have.
            now: the current time, in seconds.

        Returns:
            Tasks that were removed to make room for this one; they will not run.

        Raises:
            ServingError: RESOURCE_EXHAUSTED, the model has its maximum number of waiting batches.
        """
        queue = self._queues.get(key) or _Queue(key, model)
        batches = queue.batches
        pushed_out: list[TaskT] = []
        if not batches or batches[-1].rows + task.rows > self._options.run_size:
            if self.batches(model) >= self._options.max_enqueued_batches:
                pushed_out = self._push_out(queue)
            batches.append(Batch(now))
            self._queues.setdefault(key, queue)
        batch = batches[-1]
        batch.tasks[task] = None
        batch.rows += task.rows
        task._queue, task._batch = queue, batch
        return pushed_out

    def withdraw(self, task: TaskT) -> bool:
        """Removes a task; returns False if the task is no longer waiting."""
        queue, batch = task._queue, task._batch
        if queue is None or batch is None:
            return False
        task._queue = task._batch = None
        del batch.tasks[task]
        batch.rows -= task.rows
        if not batch.tasks:
            queue.batches.remove(batch)
            if not queue.batches:
                del self._queues[queue.key]
        return True

    def next_batch(self, now: float) -> Batch[TaskT] | None:
        """Removes and returns the next batch to run; None if no batch may run yet."""
        for queue in self._queues.values():
            if self._due(queue) <= now:
                break
        else:
            return None
        batch = queue.batches.popleft()
        del self._queues[queue.key]
        if queue.batches:
            self._queues[queue.key] = queue
        for task in batch.tasks:
            task._queue = task._batch = None
        return batch

    def next_due(self) -> float | None:
        """Returns when the next batch may run; None if no batch waits."""
        return min(map(self._due, self._queues.values()), default=None)

    def is_full(self, key: Hashable) -> bool:
        """Whether the first batch of a non-empty queue need not wait for more rows."""
        return self._is_full(self._queues[key])

    def due(self, key: Hashable) -> float:
        """Returns when the first batch of a non-empty queue may run."""
        return self._due(self._queues[key])

    def batches(self, model: str, key: Hashable | None = None) -> int:
        """Counts a model's waiting batches, in all its queues or in the queue of one key."""
        return sum(
            len(queue.batches)
            for queue in self._queues.values()
            if queue.model == model and key in (None, queue.key)
        )

    def _due(self, queue: _Queue[TaskT]) -> float:
        if self._is_full(queue):
            return 0.0
        return queue.batches[0].opened_at + self._options.batch_timeout_micros / 1e6

    def _is_full(self, queue: _Queue[TaskT]) -> bool:
        return len(queue.batches) > 1 or queue.batches[0].rows >= self._options.run_size

    def _push_out(self, newcomer: _Queue[TaskT]) -> list[TaskT]:
        """Removes the newest batch of the model's longest queue if the newcomer's queue is shorter
        by two batches or more, so that every queue gets its fair share."""
        of_model = (queue for queue in self._queues.values() if queue.model == newcomer.model)
        longest = max(of_model, key=lambda queue: len(queue.batches))
        if len(longest.batches) < len(newcomer.batches) + 2:
            raise queue_full()
        batch = longest.batches.pop()
        for task in batch.tasks:
            task._queue = task._batch = None
        return list(batch.tasks)


def queue_full(detail: str = "") -> ServingError:
    """Returns the error for a task that the queues have no room for."""
    return ServingError(
        "RESOURCE_EXHAUSTED",
        f"The batch scheduling queue to which this task was submitted is full{detail}",
    )
