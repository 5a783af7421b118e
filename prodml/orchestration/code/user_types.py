"""Makes the user code of a pipeline known to this process, from its spec alone."""

from __future__ import annotations

from prodml.compiler.spec import PipelineSpec
from prodml.dsl import references
from prodml.dsl.loaded_modules import add_to_search_path


def load_user_types(spec: PipelineSpec) -> None:
    """Makes user modules importable, and imports those that declare artifact types.

    A type says which properties of an artifact are its provenance, and so count in no fingerprint.

    Raises:
        UserCodeError: a module with an artifact type is gone or does not import.
    """
    add_to_search_path(spec.import_roots)
    for name in spec.artifact_types:
        references.load(name)
