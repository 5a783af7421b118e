"""Driver of every ExampleGen: finds the files to read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

from prodml.components.example_gen.config import Input, InputSplit, RangeConfig
from prodml.data.spans import SpanFile, latest_versions, matching_files
from prodml.dsl.executor import DriverResult
from prodml.errors import InputDataError
from prodml.storage import objects
from prodml.storage.locations import is_url

_BLOCK = 1 << 20


def resolve(parameters: Mapping[str, Any]) -> DriverResult:
    """Finds the files of the requested spans, each in its highest version.

    The fingerprint covers the names and contents of the files, not their times.

    Raises:
        InputDataError: no file matches, no span is in the range, or the splits have different
            spans.
    """
    base = parameters["input_base"]
    config = parameters["input_config"] or Input()
    files = {split.name: _files(base, split, parameters["range_config"]) for split in config.splits}
    _require_same_spans(files)
    every = [file for found in files.values() for file in found]
    latest = max((file.span, file.version) for file in every)
    return DriverResult(
        fingerprint=_fingerprint(base, files),
        description=_describe(every),
        resolved={
            "files": {name: [file.path for file in found] for name, found in files.items()},
            "spans": {
                name: [[file.span, file.version] for file in found] for name, found in files.items()
            },
            "span": latest[0],
            "version": latest[1],
        },
    )


def _files(base: str, split: InputSplit, wanted: RangeConfig | None) -> list[SpanFile]:
    found = latest_versions(matching_files(base, split.pattern))
    spans = sorted({file.span for file in found})
    kept = _wanted_spans(spans, wanted)
    if not kept:
        raise InputDataError(
            f"{base}: no span of split {split.name!r} is in range_config; existing spans: {spans}"
        )
    return [file for file in found if file.span in kept]


def _require_same_spans(files: Mapping[str, Sequence[SpanFile]]) -> None:
    """Requires the same spans in every split; otherwise splits would cover different days."""
    spans = {name: sorted({(f.span, f.version) for f in found}) for name, found in files.items()}
    first = next(iter(spans))
    for name in spans:
        if spans[name] != spans[first]:
            raise InputDataError(
                f"input splits have different spans: {first!r} has {_spans_text(spans[first])}, "
                f"{name!r} has {_spans_text(spans[name])}; complete the newest span, or set "
                f"range_config to a span that all splits have"
            )


def _spans_text(spans: Sequence[tuple[int, int]]) -> str:
    return ", ".join(f"span {span} version {version}" for span, version in spans)


def _wanted_spans(spans: Sequence[int], wanted: RangeConfig | None) -> set[int]:
    if wanted is None:
        return {spans[-1]}
    if wanted.static_range is not None:
        first, last = wanted.static_range.start_span_number, wanted.static_range.end_span_number
        return {span for span in spans if first <= span <= last}
    rolling = wanted.rolling_range
    assert rolling is not None
    recent = [span for span in spans if span >= rolling.start_span_number]
    end = len(recent) - rolling.skip_num_recent_spans
    return set(recent[max(0, end - rolling.num_spans) : max(0, end)])


def _fingerprint(base: str, files: Mapping[str, Sequence[SpanFile]]) -> str:
    digest = hashlib.blake2b(digest_size=20)
    tags = objects.listing(base) if is_url(base) else {}
    for name, found in files.items():
        for file in found:
            if is_url(base):
                relative = file.path.removeprefix(base.rstrip("/") + "/")
                # The object is not read, because its tag changes with its content.
                digest.update(f"{name}\0{relative}\0{tags[relative]}\0".encode())
                continue
            size = os.path.getsize(file.path)
            digest.update(f"{name}\0{os.path.relpath(file.path, base)}\0{size}\0".encode())
            with open(file.path, "rb") as opened:
                while block := opened.read(_BLOCK):
                    digest.update(block)
    return digest.hexdigest()


def _describe(files: Sequence[SpanFile]) -> str:
    spans = sorted({file.span for file in files})
    if spans == [0]:
        which = ""
    elif len(spans) == 1:
        which = f"span {spans[0]}, "
    else:
        which = f"spans {spans[0]} to {spans[-1]}, "
    count = f"{which}{len(files)} file{'s' if len(files) > 1 else ''}"
    if is_url(files[0].path):
        return count
    return f"{count}, {sum(os.path.getsize(file.path) for file in files) / 1e6:.1f} MB"
