"""Staging and atomic publication: nothing is visible before it is whole.

<pipeline_root>/<node>/<output>/<execution id>/     published
<pipeline_root>/<node>/.staging-<execution id>/     while the node runs, same filesystem

If the pipeline root is a URL, a node writes to a directory on this machine; its files are copied
to their final names, and the manifest last: without it there is no artifact.

A place that exists already is never written to, and what is removed names the execution in whose
name it is removed as its maker: ids of executions repeat if a metadata store is made anew,
restored or copied.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass

from prodml.artifacts import Artifact, artifact_type
from prodml.compiler.spec import NodeSpec
from prodml.errors import StorageError, refused_by_filesystem
from prodml.orchestration.publish import manifest
from prodml.storage import objects
from prodml.storage.locations import is_url, join, normal
from prodml.storage.syncing import make_directories, sync

STAGING = ".staging-"


@dataclass(frozen=True)
class Staging:
    """The staging directory of one execution.

    Attributes:
        maker: name of the execution.
        outputs: one artifact by output key, its `uri` an empty directory in the staging area.
        tmp_dir: scratch directory.
    """

    directory: str
    maker: str
    outputs: Mapping[str, Artifact]
    tmp_dir: str


def stage(
    pipeline_root: str, scratch_root: str, node: NodeSpec, execution_id: int, maker: str
) -> Staging:
    """Makes empty output directories for an execution.

    Args:
        scratch_root: directory for staging if the pipeline root is a URL.
        maker: name of the execution.

    Raises:
        StorageError: the filesystem refuses, or the staging directory or a final place exists.
    """
    root = normal(pipeline_root)
    base = scratch_root if is_url(root) else root
    directory = os.path.join(base, node.id, f"{STAGING}{execution_id}")
    try:
        make_directories(os.path.dirname(directory))
        if os.path.lexists(directory):
            raise _already_there(directory)
        os.mkdir(directory)
    except OSError as error:
        raise refused_by_filesystem(error, directory) from error
    try:
        return _fill(root, node, execution_id, maker, directory)
    except OSError as error:
        shutil.rmtree(directory, ignore_errors=True)
        raise refused_by_filesystem(error, directory) from error
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise


def _fill(root: str, node: NodeSpec, execution_id: int, maker: str, directory: str) -> Staging:
    outputs: dict[str, Artifact] = {}
    for declared in node.outputs:
        final = join(root, node.id, declared.name, str(execution_id))
        # Found before hours of training, not after.
        _refuse_existing(final)
        uri = os.path.join(directory, declared.name)
        os.mkdir(uri)
        outputs[declared.name] = artifact_type(declared.type)(uri=uri, final_uri=final)
    tmp_dir = os.path.join(directory, ".tmp")
    os.mkdir(tmp_dir)
    return Staging(directory, maker, outputs, tmp_dir)


def publish(staging: Staging) -> None:
    """Seals every output and puts it in its final place; sets the custom property `digest`.

    Raises:
        StorageError: the filesystem or the store refuses, or a final place exists; what this call
            put in place is removed again.
    """
    placed: list[Artifact] = []
    try:
        for artifact in staging.outputs.values():
            sealed = manifest.seal(artifact.uri, staging.maker)
            artifact.custom_properties["digest"] = sealed.digest
        for artifact in staging.outputs.values():
            _refuse_existing(artifact.final_uri)
            if is_url(artifact.final_uri):
                placed.append(artifact)
                objects.upload(artifact.uri, artifact.final_uri, last=[manifest.MANIFEST])
            else:
                folder = os.path.dirname(artifact.final_uri)
                make_directories(folder)
                os.rename(artifact.uri, artifact.final_uri)
                placed.append(artifact)
                sync(folder)
    except OSError as error:
        withdraw(placed)
        raise refused_by_filesystem(error, staging.directory) from error
    except BaseException:
        withdraw(placed)
        raise


def withdraw(artifacts: list[Artifact]) -> None:
    """Removes outputs that this process put in place but could not record."""
    for artifact in artifacts:
        _remove(artifact.final_uri)


def remove_unrecorded(place: str, maker: str) -> None:
    """Removes what an execution put in its final place but did not record, if anything.

    Args:
        place: `<pipeline_root>/<node>/<output>/<execution id>`.
        maker: name of the execution; what another one made stays. In an object store, files
            without a manifest are those of an upload that did not end.
    """
    made_by = manifest.recorded_maker(place)
    if made_by == maker or (made_by is None and is_url(place)):
        _remove(place)


def discard(staging: Staging) -> None:
    """Removes the staging directory and all that is left in it."""
    shutil.rmtree(staging.directory, ignore_errors=True)


def _remove(place: str) -> None:
    if is_url(place):
        # The manifest first: without it there is no artifact.
        objects.remove(place, first=[manifest.MANIFEST])
    else:
        shutil.rmtree(place, ignore_errors=True)


def _refuse_existing(place: str) -> None:
    # Under the pipeline's lease nobody else makes it between this look and the rename.
    if objects.listing(place) if is_url(place) else os.path.lexists(place):
        raise _already_there(place)


def _already_there(place: str) -> StorageError:
    return StorageError(
        f"{place} exists already, and the metadata store in use does not know it: an older copy of "
        f"the store was restored, or another store shares the pipeline root; set pipeline_root to "
        f"another place, or move that directory away"
    )
