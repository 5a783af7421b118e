"""Version labels: names such as `stable` for versions of a model."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from tensorflow_serving.config import model_server_config_pb2

from prodml.errors import ServingError


def checked_labels(
    configs: Iterable[model_server_config_pb2.ModelConfig],
    before: Mapping[str, Mapping[str, int]],
    available: Callable[[str], Collection[int]],
    *,
    allow_new: bool,
    allow_any: bool,
) -> dict[str, dict[str, int]]:
    """Returns the labels in a config: the version by model name and label.

    Args:
        configs: the models.
        before: the current labels.
        available: returns the available versions of a model by its name.
        allow_new: whether a label that did not point to another version before may name a version
            that is not available.
        allow_any: whether any label may name a version that is not available.

    Raises:
        ServingError: a label names a version that is not available.
    """
    labels: dict[str, dict[str, int]] = {}
    for config in configs:
        for label, version in config.version_labels.items():
            moves = before.get(config.name, {}).get(label, version) != version
            is_allowed = allow_any or (allow_new and not moves)
            if not is_allowed and version not in available(config.name):
                raise ServingError(
                    "FAILED_PRECONDITION",
                    f"Request to assign label to version {version} of model {config.name}, which "
                    f"is not currently available for inference",
                )
            labels.setdefault(config.name, {})[label] = version
    return labels
