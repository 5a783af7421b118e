"""Finds the distribution that contains an installed package, and its version."""

from __future__ import annotations

import functools
import importlib.metadata
import os
from pathlib import Path

_DISTRIBUTIONS = {
    "apache_beam": "apache-beam",
    "google.protobuf": "protobuf",
    "keras": "keras",
    "ml_metadata": "ml-metadata",
    "sklearn": "scikit-learn",
    "tensorflow_data_validation": "tensorflow-data-validation",
    "tensorflow_metadata": "tensorflow-metadata",
    "tensorflow_model_analysis": "tensorflow-model-analysis",
    "tensorflow_serving": "tensorflow-serving-api",
    "tensorflow_transform": "tensorflow-transform",
    "tfx_bsl": "tfx-bsl",
    "yaml": "PyYAML",
}
"""Distributions by package. `importlib.metadata.packages_distributions()` would take 0.3 s."""


@functools.lru_cache(maxsize=1024)
def distribution_version(package: str, place: str) -> tuple[str, str] | None:
    """Returns name and version of the distribution that contains a package; None if not found.

    Args:
        package: dotted name.
        place: the directory that the top-level package is imported from.
    """
    for name in (_DISTRIBUTIONS.get(package), package):
        if name is not None:
            try:
                return name, importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                continue
    owner = owning_distribution(package, place)
    return (owner.name, owner.version) if owner is not None else None


def owning_distribution(package: str, place: str) -> importlib.metadata.Distribution | None:
    """Returns the distribution in `place` whose RECORD lists the package; None if not found.

    RECORD files are searched as text, because parsing them takes ten times as long.
    """
    path = package.replace(".", "/")
    starts = (f"{path}/", f"{path}.")
    for entry in sorted(os.listdir(place)):
        if not entry.endswith(".dist-info"):
            continue
        try:
            with open(os.path.join(place, entry, "RECORD"), encoding="utf-8") as file:
                text = file.read()
        except OSError:
            continue
        if any(text.startswith(start) or f"\n{start}" in text for start in starts):
            return importlib.metadata.PathDistribution(Path(place, entry))
    return None
