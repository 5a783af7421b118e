"""The targets for prodml's speed, and the figures they are held against."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from measure import Measurement


@dataclass(frozen=True)
class Result:
    """One system's figures for one pipeline and number of rows: medians over the repeats.

    Attributes:
        pipeline: "flights" or "taxi".
        run_fn: seconds that the user's training took of the cold run.
    """

    pipeline: str
    system: str
    rows: int
    cold: Measurement
    cached: Measurement
    run_fn: float
    node_seconds: Mapping[str, float]


@dataclass(frozen=True)
class Engine:
    """What prodml costs without any work: milliseconds a node over the first, and processor
    seconds of commands."""

    chain: float
    fan: float
    help: float
    runs: float


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        theirs: TFX's figure; None where it was not measured.
        target: what the ratio must not exceed, or the figure itself where there is no peer to it;
            None where the figure is only to be known.
    """

    what: str
    ours: float
    theirs: float | None
    target: float | None

    @property
    def ratio(self) -> float | None:
        return self.ours / self.theirs if self.theirs else None


def target_rows(results: Sequence[Result], engine: Engine | None) -> list[Row]:
    """Every line for which prodml was measured."""
    rows = list(_compared([r for r in results if r.pipeline == "flights"]))
    rows += _of_the_taxi([r for r in results if r.pipeline == "taxi"])
    if engine is not None:
        rows += [
            Row("100 no-op nodes in a chain, ms a node", engine.chain, None, 10),
            Row("100 no-op nodes in a fan, ms a node", engine.fan, None, 10),
            Row("prodml --help, processor seconds", engine.help, None, 0.3),
            Row("prodml runs, processor seconds", engine.runs, None, 0.6),
        ]
    return rows


def _compared(results: Sequence[Result]) -> Iterator[Row]:
    by_system = {
        system: {r.rows: r for r in results if r.system == system}
        for system in ("prodml", "TFX 1.16.0")
    }
    ours, theirs = by_system["prodml"], by_system["TFX 1.16.0"]

    def row(what: str, count: int, figure: Callable[[Result], float], target: float | None) -> Row:
        peer = theirs.get(count)
        return Row(what, figure(ours[count]), figure(peer) if peer else None, target)

    for count in ours:
        target = {15_000: 0.35, 150_000: 0.30}.get(count)
        yield row(f"whole pipeline, {count:,} rows, s", count, lambda r: r.cold.seconds, target)
    if 15_000 in ours:
        what = "framework time (without run_fn), 15,000 rows, s"
        yield row(what, 15_000, lambda r: r.cold.seconds - r.run_fn, 0.20)
        yield row("everything cached, 15,000 rows, s", 15_000, lambda r: r.cached.seconds, 0.05)
    if {150_000, 1_000_000} <= ours.keys():
        peer = _added_row(theirs) if {150_000, 1_000_000} <= theirs.keys() else None
        what = "each added row from 150,000 to 1,000,000, microseconds"
        yield Row(what, _added_row(ours), peer, 0.10)
    if 1_000_000 in ours:
        what = "peak memory of the coordinator, 1,000,000 rows, MiB"
        yield row(what, 1_000_000, lambda r: r.cold.peak_mb, 0.60)


def _of_the_taxi(results: Sequence[Result]) -> Iterator[Row]:
    """A module file of TFX's shape must not be slower than in TFX."""
    ours = next((r for r in results if r.system == "prodml"), None)
    theirs = next((r for r in results if r.system == "TFX 1.16.0"), None)
    if ours is None:
        return

    def row(what: str, figure: Callable[[Result], float], target: float) -> Row:
        return Row(what, figure(ours), figure(theirs) if theirs else None, target)

    yield row(f"taxi, whole pipeline, {ours.rows:,} rows, s", lambda r: r.cold.seconds, 0.60)
    yield row("taxi, Trainer, s", lambda r: r.node_seconds["Trainer"], 1.0)


def _added_row(by_rows: Mapping[int, Result]) -> float:
    few, many = by_rows[150_000], by_rows[1_000_000]
    return (many.cold.seconds - few.cold.seconds) / (many.rows - few.rows) * 1e6
