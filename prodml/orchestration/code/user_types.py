"""Loads the artifact types of a pipeline's user code, from its spec alone."""

from __future__ import annotations

from prodml.compiler.spec import PipelineSpec
from prodml.dsl import references
from prodml.dsl.loaded_modules import add_to_search_path


def load_user_types(spec: PipelineSpec) -> None:
    """Makes user modules importable, and imports those that declare artifact types.

    A type declares which properties of an artifact are provenance, which fingerprints ignore.

    Raises:
        UserCodeError: a module with an artifact type does not exist or cannot be imported.
    """
    add_to_search_path(spec.import_roots)
    for name in spec.artifact_types:
        references.load(name)
