"""Custom SQL conditions on the statistics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf import json_format
from tensorflow_data_validation.anomalies.proto import custom_validation_config_pb2

from prodml.components.example_validator.controls import Control
from prodml.components.example_validator.unchecked import Unchecked
from prodml.errors import InputDataError


def read_config(config: Any) -> Any:
    """Parses the parameter into a CustomValidationConfig; None if the parameter is None.

    Raises:
        InputDataError: a field is unknown or of the wrong type.
    """
    if config is None:
        return None
    message = custom_validation_config_pb2.CustomValidationConfig()
    try:
        return json_format.ParseDict(config, message)
    except json_format.ParseError as error:
        raise InputDataError(f"custom_validation_config: {error}") from error


def remove_unchecked(config: Any, control: Control | None) -> list[Unchecked]:
    """Returns the conditions that cannot be checked, and removes unusable pairs from `config`.

    TFDV fails on a pair without statistics to compare with, and silently skips conditions for an
    environment.

    Args:
        config: a CustomValidationConfig or None.
        control: the previous statistics of the split; None if `include_split_pairs` omits it.
    """
    if config is None:
        return []
    unchecked = list(_of_environments(config))
    if control is None or control.statistics is None:
        if control is not None:
            unchecked += [
                Unchecked("custom", _path(pair), control.absence, not control.is_given)
                for pair in config.feature_pair_validations
            ]
        del config.feature_pair_validations[:]
    return unchecked


def _of_environments(config: Any) -> Iterator[Unchecked]:
    for validated in (*config.feature_validations, *config.feature_pair_validations):
        named = sorted({name for each in validated.validations for name in each.in_environment})
        if named:
            yield Unchecked(
                "custom",
                _path(validated),
                f"a condition is restricted to the environment {', '.join(named)}, and "
                f"ExampleValidator does not support environments",
                is_expected=True,
            )


def _path(validated: Any) -> tuple[str, ...]:
    is_pair = hasattr(validated, "feature_test_path")
    path = validated.feature_test_path if is_pair else validated.feature_path
    return tuple(path.step)
