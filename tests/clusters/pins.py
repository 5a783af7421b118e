"""Versions and checksums of everything that the clusters download, read from pins.toml."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

PINS = Path(__file__).with_name("pins.toml")


class ChecksumError(Exception):
    """A downloaded file is not the pinned one."""


@dataclass(frozen=True)
class Pins:
    """The content of pins.toml.

    Attributes:
        versions: version by name of what is downloaded.
        archives: SHA-256 of source archives from PyPI, by file name.
        jars: SHA-256 of jars from Maven Central, by file name.
    """

    versions: Mapping[str, str]
    archives: Mapping[str, str]
    jars: Mapping[str, str]


def read_pins(path: Path = PINS) -> Pins:
    """Reads the pinned versions and checksums."""
    return Pins(**tomllib.loads(path.read_text(encoding="utf-8")))


def check_jars(files: Iterable[Path], pins: Pins) -> None:
    """Checks that jars are the pinned ones.

    Raises:
        ChecksumError: a jar is unknown or has another content; the message names it and both
            checksums.
    """
    for file in sorted(files):
        pinned, found = pins.jars.get(file.name), sha256(file)
        if pinned != found:
            raise ChecksumError(
                f"{file} has SHA-256 {found}, but {PINS} has {pinned or 'no entry for it'}; the"
                " registry or a mirror returned another file, or a version changed. If the change"
                " is intended, run `python -m clusters pin` and review the difference"
            )


def write_jars(files: Iterable[Path], path: Path = PINS) -> None:
    """Replaces the checksums of all jars, which are the last section of pins.toml."""
    head, _, _ = path.read_text(encoding="utf-8").partition("[jars]\n")
    lines = sorted({f'"{file.name}" = "{sha256(file)}"\n' for file in files})
    path.write_text(f"{head}[jars]\n{''.join(lines)}", encoding="utf-8")


def sha256(file: Path) -> str:
    """Returns the SHA-256 of a file, in hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
