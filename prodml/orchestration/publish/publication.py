"""Staging and atomic publication: an output becomes visible only when it is complete.

<pipeline_root>/<node>/<output>/<execution id>/     published
<pipeline_root>/<node>/.staging-<execution id>/     while the node runs, same filesystem

If the pipeline root is a URL, a node writes to a directory on this machine. Its files are copied
to their final names, and the manifest last: without a manifest there is no artifact.

An existing directory is never written to. A directory is removed only if its manifest names the
execution for which it is removed: execution ids repeat if a metadata store is recreated, restored
or copied.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass

from prodml.artifacts import Artifact, artifact_type
from prodml.compiler.spec import NodeSpec
from prodml.errors import StorageError, file_operation_error
from prodml.orchestration.publish import manifest
from prodml.storage import objects
from prodml.storage.locations import is_url, join, normalized
from prodml.storage.syncing import make_directories, sync

STAGING = ".staging-"


@dataclass(frozen=True)
class Staging:
    """The staging directory of one execution.

    Attributes:
        execution_name: name of the execution.
        outputs: one artifact for each output key; its `uri` is an empty staging directory.
        tmp_dir: scratch directory.
    """

    directory: str
    execution_name: str
    outputs: Mapping[str, Artifact]
    tmp_dir: str


def stage(
    pipeline_root: str, scratch_root: str, node: NodeSpec, execution_id: int, execution_name: str
) -> Staging:
    """Creates empty output directories for an execution.

    Args:
        scratch_root: directory for staging if the pipeline root is a URL.
        execution_name: name of the execution.

    Raises:
        StorageError: the filesystem refuses, or the staging directory or a final directory exists.
    """
    root = normalized(pipeline_root)
    base = scratch_root if is_url(root) else root
    directory = os.path.join(base, node.id, f"{STAGING}{execution_id}")
    try:
        make_directories(os.path.dirname(directory))
        if os.path.lexists(directory):
            raise _already_there(directory)
        os.mkdir(directory)
    except OSError as error:
        raise file_operation_error(error, directory) from error
    try:
        return _fill(root, node, execution_id, execution_name, directory)
    except OSError as error:
        shutil.rmtree(directory, ignore_errors=True)
        raise file_operation_error(error, directory) from error
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise


def _fill(
    root: str, node: NodeSpec, execution_id: int, execution_name: str, directory: str
) -> Staging:
    outputs: dict[str, Artifact] = {}
    for declared in node.outputs:
        final = join(root, node.id, declared.name, str(execution_id))
        # Checked before hours of training, not after.
        _refuse_existing(final)
        uri = os.path.join(directory, declared.name)
        os.mkdir(uri)
        outputs[declared.name] = artifact_type(declared.type)(uri=uri, final_uri=final)
    tmp_dir = os.path.join(directory, ".tmp")
    os.mkdir(tmp_dir)
    return Staging(directory, execution_name, outputs, tmp_dir)


def publish(staging: Staging) -> None:
    """Seals every output and moves it to its final URI; sets the custom property `digest`.

    Raises:
        StorageError: the filesystem or the object store refuses, or a final URI exists; outputs
            that this call has published are removed again.
    """
    placed: list[Artifact] = []
    try:
        for artifact in staging.outputs.values():
            sealed = manifest.seal(artifact.uri, staging.execution_name)
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
        raise file_operation_error(error, staging.directory) from error
    except BaseException:
        withdraw(placed)
        raise


def withdraw(artifacts: list[Artifact]) -> None:
    """Removes outputs that this process published but could not record."""
    for artifact in artifacts:
        _remove(artifact.final_uri)


def remove_unrecorded(place: str, execution_name: str) -> None:
    """Removes an output that an execution published but did not record, if it exists.

    Args:
        place: `<pipeline_root>/<node>/<output>/<execution id>`.
        execution_name: name of the execution; the output of another execution stays. In an object
            store, files without a manifest are from an incomplete upload, and are removed.
    """
    publisher = manifest.recorded_execution(place)
    if publisher == execution_name or (publisher is None and is_url(place)):
        _remove(place)


def discard(staging: Staging) -> None:
    """Removes the staging directory with its content."""
    shutil.rmtree(staging.directory, ignore_errors=True)


def _remove(place: str) -> None:
    if is_url(place):
        # The manifest first: without a manifest there is no artifact.
        objects.remove(place, first=[manifest.MANIFEST])
    else:
        shutil.rmtree(place, ignore_errors=True)


def _refuse_existing(place: str) -> None:
    # This process has the pipeline's lease, so no other run creates it between check and rename.
    if objects.listing(place) if is_url(place) else os.path.lexists(place):
        raise _already_there(place)


def _already_there(place: str) -> StorageError:
    return StorageError(
        f"{place} exists already, but is not in the metadata store in use: an older copy of the "
        f"store was restored, or another store uses the same pipeline root; set pipeline_root to "
        f"another place, or move that directory away"
    )
