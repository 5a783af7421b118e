"""`prodml gc`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from prodml.cli.options import ConfigFile, Json
from prodml.cli.terminal import say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prodml.orchestration.garbage.collector import Collected, Progress
    from prodml.orchestration.garbage.decisions import KeepRules

_SHOWN = 50
_QUIET_SECONDS = 2.0


def gc(
    config: ConfigFile = None,
    keep_last: Annotated[
        int | None,
        typer.Option("--keep-last", min=1, metavar="N", help="Of each output of each node."),
    ] = None,
    keep_blessed: Annotated[
        bool, typer.Option("--keep-blessed", help="Models that were blessed, and their evaluation.")
    ] = False,
    keep_pushed: Annotated[
        bool, typer.Option("--keep-pushed", help="Models that were pushed.")
    ] = False,
    keep_since: Annotated[
        str | None,
        typer.Option(
            "--keep-since", metavar="WHEN", help="Made or used since: 30d, 12h or 2026-10-01."
        ),
    ] = None,
    pipeline: Annotated[
        str | None, typer.Option("--pipeline", help="Only artifacts of this pipeline.")
    ] = None,
    delete: Annotated[
        bool, typer.Option("--delete", help="Remove them; without it they are only listed.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for pipelines that are in use.")
    ] = False,
    json: Json = False,
) -> None:
    """Remove artifacts that nobody can ask for any more; without --delete, list them.

    What any --keep option names stays. So does, whatever they say, what a run that goes on or can
    be resumed uses, what is served, what a resolver can find, and what was imported.
    """
    from prodml.cli import options, printing
    from prodml.config import load_config
    from prodml.orchestration.garbage.collector import collect, preview

    rules = _rules(keep_last, keep_blessed, keep_pushed, keep_since)
    loaded = load_config(config)
    options.require_reader(loaded)
    progress = _progress()
    if delete:
        tell_of_wait = options.say_for_whom if wait else None
        collected = list(collect(loaded.open_store, rules, pipeline, progress, tell_of_wait))
    else:
        collected = preview(loaded.open_store(), rules, pipeline, progress)
    if json:
        printing.print_json(collected)
    else:
        _print(collected, delete)


def _rules(last: int | None, blessed: bool, pushed: bool, since: str | None) -> KeepRules:
    from prodml.errors import RequestError
    from prodml.orchestration.garbage.decisions import KeepRules

    if last is None and not blessed and not pushed and since is None:
        raise RequestError(
            "say what to keep, for example: prodml gc --keep-last 3 --keep-blessed --keep-pushed; "
            "or by age: prodml gc --keep-since 30d"
        )
    return KeepRules(last, blessed, pushed, None if since is None else _milliseconds(since))


def _milliseconds(since: str) -> int:
    """Unix ms of `30d`, `12h`, or a date, which begins by local time."""
    import datetime
    import re

    from prodml.errors import RequestError

    ago = re.fullmatch(r"(\d{1,6})([hdw])", since)
    try:
        if ago:
            unit = {"h": "hours", "d": "days", "w": "weeks"}[ago[2]]
            when = datetime.datetime.now() - datetime.timedelta(**{unit: int(ago[1])})
        else:
            when = datetime.datetime.fromisoformat(since)
        return int(when.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise RequestError(
            f"--keep-since {since!r}: write 30d, 12h, 2w or a date such as 2026-10-01"
        ) from None


def _print(collected: Iterable[Collected], is_done: bool) -> None:
    from prodml.cli import printing

    found = list(collected)
    removals = [removal for each in found for removal in each.removals]
    if removals:
        printing.print_table(
            ["artifact", "type", "output", "made", "size", "because", "directory"],
            [
                (
                    str(removal.artifact_id or ""),
                    removal.type,
                    f"{removal.pipeline}: {removal.output}",
                    printing.time_text(removal.created) if removal.created else "",
                    _size_text(removal.size),
                    removal.why,
                    removal.uri,
                )
                for removal in removals[:_SHOWN]
            ],
        )
        if len(removals) > _SHOWN:
            say(f"and {len(removals) - _SHOWN:,} more; --json lists all")
        say()
    for each in found:
        if each.busy:
            say(f"left alone: {each.busy}")
            continue
        for why, count in list(each.protected.items())[:_SHOWN]:
            say(f"{each.pipeline}: {count:,} protected: {why}")
        say(f"{each.pipeline}: {each.kept:,} kept by the --keep options")
    total = f"{len(removals):,} directories, {_size_text(sum(r.size for r in removals))}"
    say(f"removed {total}" if is_done else f"would remove {total}; to do it, add --delete")


def _size_text(size: int) -> str:
    """`812 B`, `1.4 MB`."""
    number, units = float(size), ["B", "kB", "MB", "GB", "TB"]
    while number >= 1000 and len(units) > 1:
        number /= 1000
        units.pop(0)
    return f"{number:.1f} {units[0]}" if units[0] != "B" else f"{size} B"


def _progress() -> Progress:
    """Lines on standard error, of what takes over two seconds."""
    import time

    told = time.monotonic()

    def tell(what: str, done: int, count: int) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= _QUIET_SECONDS:
            told = now
            say(f"{what} {done:,} of {count:,}" if count else what, is_error=True)

    return tell
