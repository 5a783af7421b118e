"""Measures how far the distributions of features are apart, with TFDV.

Imports TensorFlow, so import this module only where a drift trigger is declared.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tensorflow_data_validation as tfdv

from prodml.artifacts import ExampleStatistics
from prodml.errors import RequestError
from prodml.storage import objects
from prodml.storage.locations import is_url, join

_FILE = "FeatureStats.pb"


def divergences(
    newest: ExampleStatistics, trained: ExampleStatistics, features: Iterable[str]
) -> Mapping[str, float]:
    """The largest Jensen-Shannon divergence of each feature over all splits.

    Splits of the same name are compared. A split that only the newest statistics have is compared
    with the first split of the others.

    Args:
        newest: the newest statistics.
        trained: statistics of the data of the newest model.
        features: names of features of both.

    Raises:
        RequestError: a feature cannot be compared.
    """
    found: dict[str, float] = dict.fromkeys(features, 0.0)
    for split in newest.split_names:
        other = split if split in trained.split_names else trained.split_names[0]
        after, before = _load(newest, split), _load(trained, other)
        measured = _measured(after, before, list(found))
        for name in found:
            if name not in measured:
                raise RequestError(
                    f"drift of {name!r}: the feature cannot be compared in split {split!r} of "
                    f"statistics {newest.id} and split {other!r} of statistics {trained.id}; "
                    f"check its type and values in both"
                )
            found[name] = max(found[name], measured[name])
    return found


def _measured(after: Any, before: Any, features: Sequence[str]) -> dict[str, float]:
    schema = tfdv.infer_schema(before)
    for name in features:
        comparator = tfdv.get_feature(schema, name).drift_comparator
        comparator.jensen_shannon_divergence.threshold = 1.0
    anomalies = tfdv.validate_statistics(after, schema, previous_statistics=before)
    return {
        ".".join(info.path.step): measurement.value
        for info in anomalies.drift_skew_info
        for measurement in info.drift_measurements
    }


def _load(statistics: ExampleStatistics, split: str) -> Any:
    path = join(statistics.uri, f"Split-{split}", _FILE)
    if not is_url(path):
        return tfdv.load_stats_binary(path)
    with tempfile.TemporaryDirectory() as directory:
        local = os.path.join(directory, _FILE)
        objects.download(path, local)
        return tfdv.load_stats_binary(local)
