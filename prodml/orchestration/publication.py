"""Staging and atomic publication: nothing is visible before it is whole.

<pipeline_root>/<node>/<output>/<execution id>/     published
<pipeline_root>/<node>/.staging-<execution id>/     while the node runs, same filesystem
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass

from prodml.artifacts import Artifact, artifact_type
from prodml.compiler.spec import NodeSpec
from prodml.errors import ProdmlError, storage_error
from prodml.orchestration import manifest


@dataclass(frozen=True)
class Staging:
    """The staging directory of one execution.

    Attributes:
        outputs: one artifact by output key, its `uri` an empty directory in the staging area.
        tmp_dir: scratch directory.
    """

    directory: str
    outputs: Mapping[str, Artifact]
    tmp_dir: str


def stage(pipeline_root: str, node: NodeSpec, execution_id: int) -> Staging:
    """Makes empty output directories for an execution.

    Raises:
        StorageError: the filesystem refuses.
    """
    base = os.path.join(os.path.abspath(pipeline_root), node.id)
    directory = os.path.join(base, f".staging-{execution_id}")
    outputs: dict[str, Artifact] = {}
    try:
        for declared in node.outputs:
            uri = os.path.join(directory, declared.name)
            os.makedirs(uri)
            final = os.path.join(base, declared.name, str(execution_id))
            outputs[declared.name] = artifact_type(declared.type)(uri=uri, final_uri=final)
        tmp_dir = os.path.join(directory, ".tmp")
        os.makedirs(tmp_dir)
    except OSError as error:
        raise _translated(error) from error
    return Staging(directory, outputs, tmp_dir)


def publish(staging: Staging) -> None:
    """Seals every output and renames it to its final place; sets the custom property `digest`.

    Raises:
        StorageError: the filesystem refuses; what was moved already is moved out again.
    """
    moved: list[Artifact] = []
    try:
        for artifact in staging.outputs.values():
            artifact.custom_properties["digest"] = manifest.seal(artifact.uri).digest
        for artifact in staging.outputs.values():
            os.makedirs(os.path.dirname(artifact.final_uri), exist_ok=True)
            os.rename(artifact.uri, artifact.final_uri)
            moved.append(artifact)
            _sync_directory(os.path.dirname(artifact.final_uri))
    except OSError as error:
        withdraw(moved)
        raise _translated(error) from error


def withdraw(artifacts: list[Artifact]) -> None:
    """Removes outputs that were moved into place but could not be recorded."""
    for artifact in artifacts:
        shutil.rmtree(artifact.final_uri, ignore_errors=True)


def discard(staging: Staging) -> None:
    """Removes the staging directory and all that is left in it."""
    shutil.rmtree(staging.directory, ignore_errors=True)


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _translated(error: OSError) -> ProdmlError | OSError:
    return storage_error(error) or error
