"""`prodml gc`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from prodml.cli.options import ConfigFile, Json
from prodml.cli.terminal import say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prodml.orchestration.garbage.collector import CollectionResult, Progress
    from prodml.orchestration.garbage.decisions import KeepRules

_SHOWN = 50
_QUIET_SECONDS = 2.0


def gc(
    config: ConfigFile = None,
    keep_last: Annotated[
        int | None,
        typer.Option(
            "--keep-last",
            min=1,
            metavar="N",
            help="Keep the newest N artifacts of each output of each node.",
        ),
    ] = None,
    keep_blessed: Annotated[
        bool, typer.Option("--keep-blessed", help="Keep blessed models and their evaluations.")
    ] = False,
    keep_pushed: Annotated[bool, typer.Option("--keep-pushed", help="Keep pushed models.")] = False,
    keep_since: Annotated[
        str | None,
        typer.Option(
            "--keep-since",
            metavar="WHEN",
            help="Keep artifacts created or used since: 30d, 12h or 2026-10-01.",
        ),
    ] = None,
    pipeline: Annotated[
        str | None, typer.Option("--pipeline", help="Only artifacts of this pipeline.")
    ] = None,
    delete: Annotated[
        bool, typer.Option("--delete", help="Remove the artifacts instead of listing them.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for pipelines that are in use.")
    ] = False,
    json: Json = False,
) -> None:
    """Remove artifacts that are no longer needed; without --delete, list them.

    An artifact that any --keep option matches is kept. Also kept, whatever the options: artifacts
    of active runs and of runs that can be resumed, served models, artifacts that a resolver can
    find, and imported artifacts.
    """
    from prodml.cli import options, printing
    from prodml.config import load_config
    from prodml.orchestration.garbage.collector import collect, preview

    rules = _rules(keep_last, keep_blessed, keep_pushed, keep_since)
    loaded = load_config(config)
    options.require_reader(loaded)
    progress = _progress()
    if delete:
        on_wait = options.report_waiting if wait else None
        collected = list(collect(loaded.open_store, rules, pipeline, progress, on_wait))
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
            "name what to keep, for example: prodml gc --keep-last 3 --keep-blessed --keep-pushed; "
            "or by age: prodml gc --keep-since 30d"
        )
    return KeepRules(last, blessed, pushed, None if since is None else _milliseconds(since))


def _milliseconds(since: str) -> int:
    """Returns the Unix time in ms of `30d`, `12h`, or a date, which starts in local time."""
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


def _print(collected: Iterable[CollectionResult], is_done: bool) -> None:
    from prodml.cli import printing

    found = list(collected)
    removals = [removal for each in found for removal in each.removals]
    if removals:
        printing.print_table(
            ["artifact", "type", "output", "created", "size", "reason", "directory"],
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
            say(f"skipped: {each.busy}")
            continue
        for why, count in list(each.protected.items())[:_SHOWN]:
            say(f"{each.pipeline}: {count:,} protected: {why}")
        say(f"{each.pipeline}: {each.kept:,} kept by the --keep options")
    total = f"{len(removals):,} directories, {_size_text(sum(r.size for r in removals))}"
    say(f"removed {total}" if is_done else f"would remove {total}; to remove, add --delete")


def _size_text(size: int) -> str:
    """Formats a size in bytes as `812 B` or `1.4 MB`."""
    number, units = float(size), ["B", "kB", "MB", "GB", "TB"]
    while number >= 1000 and len(units) > 1:
        number /= 1000
        units.pop(0)
    return f"{number:.1f} {units[0]}" if units[0] != "B" else f"{size} B"


def _progress() -> Progress:
    """Prints progress on standard error, at most one line every two seconds."""
    import time

    last_line = time.monotonic()

    def report(what: str, done: int, count: int) -> None:
        nonlocal last_line
        now = time.monotonic()
        if now - last_line >= _QUIET_SECONDS:
            last_line = now
            say(f"{what} {done:,} of {count:,}" if count else what, is_error=True)

    return report
