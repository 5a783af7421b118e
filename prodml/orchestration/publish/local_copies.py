"""Local copies of artifacts that lie in an object store: what executors read.

The libraries underneath read local files alone, so a node's inputs are fetched before it runs,
once for each content: `<copies_root>/<digest>/`.
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
    """The artifact with a local directory as its `uri`; `final_uri` is where it really lies.

    Several processes may fetch the same at once: the first to be done is used by all.

    Raises:
        ArtifactError: a file is not what its producer published.
        StorageError: the store refuses.
    """
    if not is_url(artifact.uri):
        return artifact
    directory = os.path.join(copies_root, str(artifact.custom_properties["digest"]))
    # Asked first: what another process puts there meanwhile is whole, and not removed.
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
            # The same time as in the manifest: it is then known as unchanged without being read.
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
