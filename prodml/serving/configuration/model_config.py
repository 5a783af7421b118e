"""The model config file of a model server: which models and versions it serves.

The file is `models.config` beside the directories of the models: a ModelServerConfig in protobuf's
text format, for `--model_config_file` of TF Serving and of `prodml serve`.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from prodml.errors import RolloutError, file_operation_error
from prodml.serving.configuration.text_protos import ModelServerConfig, read_text_proto
from prodml.storage.syncing import sync

_FILE_NAME = "models.config"
_LOCK_SECONDS = 10.0


def default_config_path(base_path: str) -> Path:
    """Returns the path of the config for a model whose versions are in `base_path`."""
    return Path(os.path.abspath(base_path)).parent / _FILE_NAME


def read_model_config(path: Path) -> Any:
    """Reads the ModelServerConfig in a file; returns one without models if there is no file.

    Raises:
        ConfigError: the file cannot be read or is not a ModelServerConfig; names the line.
    """
    if not path.exists():
        return ModelServerConfig()
    return read_text_proto(str(path), ModelServerConfig)


def write_model_config(path: Path, config: Any) -> None:
    """Writes a config atomically: a server that polls the file reads the old or the new one.

    Raises:
        StorageError: the file cannot be written; it is unchanged.
    """
    try:
        with tempfile.NamedTemporaryFile(
            "w", dir=path.parent, prefix=f".{path.name}-", delete=False
        ) as file:
            file.write(text_format.MessageToString(config))
            file.flush()
            os.fsync(file.fileno())
        os.chmod(file.name, 0o644)
        os.replace(file.name, path)
        sync(str(path.parent))
    except OSError as error:
        raise file_operation_error(error, str(path)) from error


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Locks the config against changes by other processes. The kernel releases the lock if its
    holder dies.

    Raises:
        RolloutError: another process has held the lock for too long.
        StorageError: the lock file cannot be created.
    """
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=_LOCK_SECONDS)
    except Timeout:
        raise RolloutError(
            f"{path} is locked by another rollout or push; retry when it has finished"
        ) from None
    except OSError as error:
        raise file_operation_error(error, str(path)) from error
    try:
        yield
    finally:
        lock.release()


def entry(config: Any, model: str) -> Any:
    """Returns the ModelConfig of a model; None if the config does not list the model."""
    return next((each for each in config.model_config_list.config if each.name == model), None)


def with_versions(
    config: Any, model: str, base_path: str, versions: Iterable[int], labels: Mapping[str, int]
) -> Any:
    """Returns a copy of a config that serves exactly these versions of a model with these labels.

    Args:
        config: the config; other models and other settings of this model are kept.
        model: name of the model; added if the config does not list it.
        base_path: directory of its versions.
        versions: the versions to serve; if empty, the latest version on disk is served.
        labels: the versions by label.
    """
    copy = model_server_config_pb2.ModelServerConfig()
    copy.CopyFrom(config)
    found = entry(copy, model)
    if found is None:
        found = copy.model_config_list.config.add(
            name=model, base_path=os.path.abspath(base_path), model_platform="tensorflow"
        )
    found.ClearField("model_version_policy")
    found.model_version_policy.SetInParent()
    found.model_version_policy.specific.versions.extend(sorted(versions))
    if not found.model_version_policy.specific.versions:
        found.ClearField("model_version_policy")
    found.ClearField("version_labels")
    for label, version in labels.items():
        found.version_labels[label] = version
    return copy
