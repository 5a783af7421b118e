"""Selects the files to analyze and the files to transform."""

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
        key: key of the content in the analyzer cache; an artifact never changes after publication.
        split: name of the split.
        files: paths of the files.
        payload: format of the files.
        rows: number of rows.
    """

    key: str
    split: str
    files: tuple[str, ...]
    payload: PayloadFormat
    rows: int


@dataclass(frozen=True)
class Datasets:
    """The datasets that Transform reads.

    Attributes:
        analyze: the datasets to analyze.
        transform: the datasets to transform.
        splits: names of the splits to transform.
        payload: format of all files.
    """

    analyze: tuple[Dataset, ...]
    transform: tuple[Dataset, ...]
    splits: tuple[str, ...]
    payload: PayloadFormat


def plan_datasets(examples: Sequence[Examples], config: SplitsConfig) -> Datasets:
    """Selects the datasets of the artifacts' splits that a SplitsConfig names.

    Raises:
        InputDataError: there are no examples, a split does not exist, payload formats differ, or
            there is no row to analyze.
    """
    if not examples:
        raise InputDataError("the input examples of Transform has no artifact")
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
            f"the examples have different payload formats: {', '.join(sorted(payloads))}; "
            f"ingest them with the same payload_format"
        )
    analyze = _datasets(examples, config.analyze)
    if not any(dataset.rows for dataset in analyze):
        raise InputDataError(f"no row to analyze in the split(s) {', '.join(config.analyze)}")
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
