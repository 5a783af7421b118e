"""Which files are analyzed and which are transformed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from prodml.artifacts import Examples
from prodml.components.transform.component import SplitsConfig
from prodml.data.examples_layout import PayloadFormat, payload_format, row_count, split_files
from prodml.errors import InputDataError
from prodml.suggestions import suggest


@dataclass(frozen=True)
class Dataset:
    """One split of one Examples artifact.

    Attributes:
        key: names its content in the analyzer cache: an artifact never changes once it stands.
    """

    key: str
    split: str
    files: tuple[str, ...]
    payload: PayloadFormat
    rows: int


@dataclass(frozen=True)
class Datasets:
    """What Transform reads.

    Attributes:
        splits: the splits that are transformed.
    """

    analyze: tuple[Dataset, ...]
    transform: tuple[Dataset, ...]
    splits: tuple[str, ...]
    payload: PayloadFormat


def plan_datasets(examples: Sequence[Examples], config: SplitsConfig) -> Datasets:
    """Pairs artifacts with the splits that a SplitsConfig names.

    Raises:
        InputDataError: there are no examples, a split does not exist, payload formats differ, or
            there is no row to analyze.
    """
    if not examples:
        raise InputDataError("Transform has no examples to work on")
    every = dict.fromkeys(split for artifact in examples for split in artifact.split_names)
    splits = tuple(config.transform if config.transform is not None else every)
    for artifact in examples:
        for split in (*config.analyze, *splits):
            if split not in artifact.split_names:
                raise InputDataError(
                    f"splits_config: the examples at {artifact.uri} have no split {split!r}"
                    f"{suggest(split, artifact.split_names)}"
                )
    payloads = {payload_format(artifact) for artifact in examples}
    if len(payloads) > 1:
        raise InputDataError(
            f"the examples differ in payload format: {', '.join(sorted(payloads))}; "
            f"ingest them with the same one"
        )
    analyze = _datasets(examples, config.analyze)
    if not any(dataset.rows for dataset in analyze):
        raise InputDataError(f"there is no row to analyze in {', '.join(config.analyze)}")
    return Datasets(analyze, _datasets(examples, splits), splits, payloads.pop())


def _datasets(examples: Sequence[Examples], splits: Sequence[str]) -> tuple[Dataset, ...]:
    return tuple(
        Dataset(
            key=_key(artifact, split),
            split=split,
            files=tuple(split_files(artifact, split)),
            payload=payload_format(artifact),
            rows=row_count(artifact, split),
        )
        for artifact in examples
        for split in splits
    )


def _key(artifact: Examples, split: str) -> str:
    span = artifact.properties.get("span", 0)
    version = artifact.properties.get("version", 0)
    content = (
        f"{artifact.final_uri or artifact.uri}|{artifact.custom_properties.get('row_counts', '')}"
    )
    digest = hashlib.sha256(content.encode()).hexdigest()[:16]
    return f"span-{span}-version-{version}-{split}-{digest}"
