"""Fetches local copies of artifacts in an object store, for executors to read.

The libraries that executors use read only local files. So a node's inputs are fetched before it
runs, each content once: `<copies_root>/<digest>/`.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import uuid

from prodml.artifacts import Artifact
from prodml.errors import ArtifactError
from prodml.orchestration.publish import manifest
from prodml.storage import objects
from prodml.storage.locations import is_url, join


def local_copy(artifact: Artifact, copies_root: str) -> Artifact:
    """The artifact with a local directory as its `uri`, and its URL as `final_uri`.

    Several processes may fetch the same artifact at once: all use the copy that is finished first.

    Raises:
        ArtifactError: a file differs from what its producer published.
        StorageError: the object store refuses.
    """
    if not is_url(artifact.uri):
        return artifact
    directory = os.path.join(copies_root, str(artifact.custom_properties["digest"]))
    # Checked first: a copy that another process adds in the meantime is complete, so it stays.
    was_there = os.path.lexists(directory)
    if manifest.difference(directory) is not None:
        if was_there:
            shutil.rmtree(directory, ignore_errors=True)
        _fetch(artifact, directory)
    return dataclasses.replace(artifact, uri=directory, final_uri=artifact.uri)


def _fetch(artifact: Artifact, directory: str) -> None:
    partial = f"{directory}.{uuid.uuid4().hex}"
    os.makedirs(partial)
    try:
        entries = manifest.recorded_files(artifact.uri)
        for path, entry in entries.items():
            target = os.path.join(partial, path)
            objects.download(join(artifact.uri, path), target)
            if manifest.file_digest(target) != entry.digest:
                raise ArtifactError(f"{join(artifact.uri, path)} is not what was published")
            # With the time in the manifest, the file counts as unchanged without being read.
            os.utime(target, ns=(entry.modified, entry.modified))
        objects.download(
            join(artifact.uri, manifest.MANIFEST), os.path.join(partial, manifest.MANIFEST)
        )
        try:
            os.rename(partial, directory)
        except OSError:
            if not os.path.isdir(directory):
                raise
    except (FileNotFoundError, ValueError, TypeError, KeyError) as error:
        raise ArtifactError(f"{artifact.uri} is not what was published: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
