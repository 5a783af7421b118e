"""SIGKILL at points of a run, then `--resume`: nothing is lost or duplicated.

A sample of `make kill-sweep`, which kills at every point.
"""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from faults.subjects import small_trial
from faults.sweep import kill_at_point

STRIDE = 20


@pytest.fixture(scope="module")
def points(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What an unharmed run passes, in order."""
    trial = small_trial(tmp_path_factory.mktemp("unharmed"))
    trial.complete()
    return trial.points()


def test_every_kind_of_event_is_a_point(points: list[str]) -> None:
    for name in (
        "before rename to Train/model/N",
        "before rename to serving/N",
        "before sync serving/.staging",
        "before put_execution",
        "inside put_execution",
        "inside put_contexts",
        "before Train executes",
        "after Train has executed",
        "before remove small/Pusher/.staging",
    ):
        assert name in points, name
    assert len(points) > 100


def test_a_run_killed_at_a_point_is_resumed_and_complete(points: list[str], tmp_path: Path) -> None:
    def trial(number: int) -> str | None:
        root = tmp_path / str(number)
        root.mkdir()
        each = small_trial(root)
        try:
            kill_at_point(each, number)
        except AssertionError as error:
            return f"killed {[kill.point for kill in each.kills]}: {error}"
        shutil.rmtree(root)
        return None

    chosen = range(1, len(points) + 1, STRIDE)
    with ThreadPoolExecutor(2) as pool:
        failures = [failure for failure in pool.map(trial, chosen) if failure]
    assert failures == []


def test_a_run_interrupted_at_a_point_ends_cleanly_and_is_resumed(
    points: list[str], tmp_path: Path
) -> None:
    def trial(number: int) -> str | None:
        root = tmp_path / str(number)
        root.mkdir()
        each = small_trial(root)
        try:
            each.interrupt("SIGINT" if number % 2 else "SIGTERM", number)
            each.complete()
        except AssertionError as error:
            return f"interrupted {points[number - 1]}: {error}"
        shutil.rmtree(root)
        return None

    # Each of these was seen to go wrong: between a write and its answer, and half published.
    written = points.index("after Train has executed") + 1
    recorded = points.index("inside put_execution", written) + 1
    published = points.index("before rename to Train/model/N") + 2
    staging = points.index("before make Train/.staging/model") + 1
    begun = points.index("inside put_execution") + 1
    started = points.index("inside put_contexts") + 1
    ended = len(points) - points[::-1].index("inside put_contexts")
    chosen = {started, begun, staging, written, published, recorded, ended}
    chosen |= set(range(5, len(points) + 1, 2 * STRIDE))
    with ThreadPoolExecutor(2) as pool:
        failures = [failure for failure in pool.map(trial, sorted(chosen)) if failure]
    assert failures == []
