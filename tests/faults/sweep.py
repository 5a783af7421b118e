"""Kills a run at chosen points, resumes it, and checks the invariants."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from faults.invariants import (
    check_after_a_kill,
    check_after_an_interrupt,
    check_at_the_end,
    finished_nodes,
)
from support import warm

KILLED_RUN = str(Path(__file__).with_name("killed_run.py"))


@dataclass(frozen=True)
class Subject:
    """A pipeline to be killed.

    Attributes:
        arguments: of `prodml run`, in the directory of a trial.
        links: how many artifacts its nodes have made and used at the end, as `links_of` has them.
        serving: the directory that it pushes to.
        random_seconds: within which kills at a random time come.
        libraries: that are imported before the pipeline runs, as `warm` has them.
    """

    arguments: Sequence[str]
    links: Mapping[str, int]
    serving: str
    random_seconds: float
    libraries: str


@dataclass(frozen=True)
class Kill:
    """One kill: `point` is the name of the point, or the time."""

    point: str
    was_resume: bool


class Trial:
    """One run in its own directory: killed any number of times, then completed."""

    def __init__(self, subject: Subject, root: Path) -> None:
        self.subject = subject
        self.root = root
        self.home = root / ".prodml"
        self.serving = root / subject.serving
        self.kills: list[Kill] = []
        self._finished: dict[str, int] = {}

    def start(self, kill_at: str = "0") -> subprocess.Popen[str]:
        points = str(self.root / "points")
        return warm.Popen(
            [sys.executable, KILLED_RUN, points, kill_at, *self._arguments()],
            libraries=self.subject.libraries,
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def kill(self, kill_at: str, is_looked_at: bool = True) -> bool:
        """Runs, or resumes, until the point or time; False if the run was complete before.

        Args:
            is_looked_at: False leaves it to the resumption to find that the run is dead.
        """
        if self._state() == "COMPLETE":
            # The process was killed after the run was recorded as COMPLETE.
            return False
        is_resume = "--resume" in self._arguments()
        process = self.start(kill_at)
        said, _ = process.communicate(timeout=300)
        if process.returncode == 0:
            return False
        assert process.returncode in (-signal.SIGKILL, -signal.SIGALRM), said
        self.kills.append(Kill(kill_at if kill_at.endswith("s") else self.points()[-1], is_resume))
        if is_looked_at:
            check_after_a_kill(self.home, self.serving)
        # What was finished once stays so, whatever a later kill has met.
        self._finished = finished_nodes(self.home) | self._finished
        return True

    def interrupt(self, name: str, number: int) -> None:
        """Runs until a point, sends the signal with that name, and waits for a clean end."""
        process = self.start(f"{name} {number}")
        said, _ = process.communicate(timeout=300)
        assert process.returncode in (0, 130), said
        assert "Traceback" not in said, said
        check_after_an_interrupt(self.home, self.serving)
        if (self.home / "metadata.db").exists():
            self._finished = finished_nodes(self.home)

    def complete(self) -> None:
        """Runs, or resumes, to the end, and checks everything."""
        if self._state() != "COMPLETE":
            process = self.start()
            said, _ = process.communicate(timeout=300)
            assert process.returncode == 0, said
        check_at_the_end(self.home, self.serving, self._finished, self.subject.links)

    def points(self) -> list[str]:
        """The points that the last run passed."""
        return (self.root / "points").read_text().splitlines()

    def _arguments(self) -> list[str]:
        if not self._state():
            return ["run", *self.subject.arguments]
        return ["run", "--resume"]

    def _state(self) -> str:
        from prodml.metadata.reading import LineageReader
        from prodml.metadata.store import Store

        if not (self.home / "metadata.db").exists():
            return ""
        runs = LineageReader(Store(str(self.home / "metadata.db"))).runs(1)
        return str(runs[0].state) if runs else ""


def kill_at_point(trial: Trial, number: int) -> None:
    """Kills a run at a point, and at odd points also the resumed run; then completes it."""
    is_killed_again = number % 2 == 1
    assert trial.kill(str(number), is_looked_at=not is_killed_again)
    if is_killed_again:
        trial.kill(str(1 + number % 40))
    trial.complete()


def kill_often(trial: Trial, seed: int, kills: int, unharmed: Sequence[str]) -> None:
    """Kills a run and its resumptions at points of every kind and random times, then completes it.

    Args:
        unharmed: the points of an undisturbed run.
    """
    chance = random.Random(seed)
    for left in range(kills, 0, -1):
        if chance.random() < 0.5:
            at = f"{chance.uniform(0.3, trial.subject.random_seconds):.3f}s"
        else:
            # Not far ahead, so that there is something left for the kills that follow.
            ahead = unharmed[_place(unharmed, trial) :]
            near = ahead[: max(20, 2 * len(ahead) // (left + 1))]
            if not near:
                break
            kind = chance.choice(sorted(set(map(kind_of, near))))
            at = chance.choice([point for point in near if kind_of(point) == kind])
        if not trial.kill(at, is_looked_at=chance.random() < 0.5):
            break
    trial.complete()


def kind_of(point: str) -> str:
    """The kind of a point: `at a random time`, `before rename`, `after execution of a node`."""
    first, *rest = point.split()
    if not rest:
        return "at a random time"
    return f"{first} execution of a node" if "execute" in point else f"{first} {rest[0]}"


def _place(unharmed: Sequence[str], trial: Trial) -> int:
    """How far a trial has come: the place after the last point that only one step passes."""
    if not trial.kills:
        return 0
    passed = set(trial.points())
    return max((i + 1 for i, p in enumerate(unharmed) if p in passed and "/" in p), default=0)
