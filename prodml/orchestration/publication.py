"""Staging and atomic publication: nothing is visible before it is whole.

<pipeline_root>/<node>/<output>/<execution id>/     published
<pipeline_root>/<node>/.staging-<execution id>/     while the node runs, same filesystem

Where the pipeline root is a URL, a node writes to a directory here; its files are copied to their
final names, and the manifest last: without it there is no artifact.
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
from prodml.storage import objects
from prodml.storage.locations import is_url, join, normal
from prodml.storage.syncing import sync


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


def stage(pipeline_root: str, scratch_root: str, node: NodeSpec, execution_id: int) -> Staging:
    """Makes empty output directories for an execution.

    Args:
        scratch_root: directory for staging where the pipeline root is a URL.

    Raises:
        StorageError: the filesystem refuses.
    """
    root = normal(pipeline_root)
    base = scratch_root if is_url(root) else root
    directory = os.path.join(base, node.id, f".staging-{execution_id}")
    outputs: dict[str, Artifact] = {}
    try:
        for declared in node.outputs:
            uri = os.path.join(directory, declared.name)
            os.makedirs(uri)
            final = join(root, node.id, declared.name, str(execution_id))
            outputs[declared.name] = artifact_type(declared.type)(uri=uri, final_uri=final)
        tmp_dir = os.path.join(directory, ".tmp")
        os.makedirs(tmp_dir)
    except OSError as error:
        raise _translated(error) from error
    return Staging(directory, outputs, tmp_dir)


def publish(staging: Staging) -> None:
    """Seals every output and puts it in its final place; sets the custom property `digest`.

    Raises:
        StorageError: the filesystem or the store refuses; what is in place is taken out again.
    """
    published: list[Artifact] = []
    try:
        for artifact in staging.outputs.values():
            artifact.custom_properties["digest"] = manifest.seal(artifact.uri).digest
        for artifact in staging.outputs.values():
            published.append(artifact)
            if is_url(artifact.final_uri):
                objects.upload(artifact.uri, artifact.final_uri, last=[manifest.MANIFEST])
            else:
                _move(artifact)
    except OSError as error:
        withdraw(published)
        raise _translated(error) from error
    except ProdmlError:
        withdraw(published)
        raise


def withdraw(artifacts: list[Artifact]) -> None:
    """Removes outputs that were put in place but could not be recorded."""
    for artifact in artifacts:
        remove(artifact.final_uri)


def remove(place: str) -> None:
    """Removes what stands at an artifact's place, its manifest first where that is a URL."""
    if is_url(place):
        objects.remove(place, first=[manifest.MANIFEST])
    else:
        shutil.rmtree(place, ignore_errors=True)


def discard(staging: Staging) -> None:
    """Removes the staging directory and all that is left in it."""
    shutil.rmtree(staging.directory, ignore_errors=True)


def _move(artifact: Artifact) -> None:
    os.makedirs(os.path.dirname(artifact.final_uri), exist_ok=True)
    os.rename(artifact.uri, artifact.final_uri)
    sync(os.path.dirname(artifact.final_uri))


def _translated(error: OSError) -> ProdmlError | OSError:
    return storage_error(error) or error
