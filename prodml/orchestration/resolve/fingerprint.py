"""Fingerprints: what a node's result depends on, and how two fingerprints differ."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import prodml
from prodml.artifacts import Artifact, PropertyValue
from prodml.compiler.spec import NodeSpec
from prodml.dsl.executor import DriverResult
from prodml.dsl.module_search import Origin
from prodml.dsl.parameters import Watched
from prodml.orchestration.code.executor_code import existing_file, node_code
from prodml.orchestration.code.source_closure import SourceClosure
from prodml.orchestration.publish.manifest import file_digest
from prodml.orchestration.resolve.parameter_changes import describe_change
from prodml.secrets import redact

_BY_CONTENT = frozenset({Watched.FILE, Watched.MODULE, Watched.DATA})
"""Paths and names that count by the content that they refer to; a function's name counts, too."""

_PROVENANCE = frozenset(
    {"digest", "name", "output_key", "pipeline_name", "producer_component", "component_id"}
)
"""Custom properties that say where an artifact comes from; the digest counts separately."""

Parts = Mapping[str, Mapping[str, str]]
"""Group -> item -> value or digest; a group is one kind of reason for a cache miss."""


@dataclass(frozen=True)
class Fingerprint:
    """What a result depends on.

    Attributes:
        parts: everything that counts, so that a later miss can be explained.
        key: a digest of node, pipeline and parts.
        key_without_resolved: the same without the inputs that a Resolver found; None if there are
            no such inputs.
    """

    parts: Parts
    key: str
    key_without_resolved: str | None

    @property
    def keys(self) -> tuple[str, ...]:
        """All keys under which the cache finds the result."""
        if self.key_without_resolved is None:
            return (self.key,)
        return (self.key, self.key_without_resolved)


def fingerprint(
    pipeline: str,
    node: NodeSpec,
    inputs: Mapping[str, Sequence[Artifact]],
    driver: DriverResult | None,
    found: frozenset[str],
    keras: str | None = None,
) -> Fingerprint:
    """Computes the fingerprint of a node with resolved inputs.

    Args:
        found: input keys whose artifacts a Resolver found in the store.
        keras: what `tf.keras` means for the node; None if its code cannot use it.

    Raises:
        UserCodeError: a module or file that the node names does not exist.
    """
    code = node_code(node)
    closures = [code.executor, *code.modules.values()]
    parts: dict[str, dict[str, str]] = {
        "executor": {
            "version": prodml.__version__,
            "prodml": _digest([_digests(closure, is_prodml=True) for closure in closures]),
            **_digests(code.executor, is_prodml=False),
        },
        "parameters": {
            p.name: json.dumps(p.without(_BY_CONTENT), sort_keys=True) for p in node.parameters
        },
        "module": {
            f"{name} {label}": digest
            for name, module in code.modules.items()
            for label, digest in _digests(module, is_prodml=False).items()
        },
        "file": {
            f"{p.name}{at}": file_digest(existing_file(node, p.name, path))
            for p in node.parameters
            for at, path in p.texts(Watched.FILE)
        },
        "library": dict(version for closure in closures for version in closure.versions),
        "keras": {"tf.keras": keras} if keras else {},
        "input": {key: _identity(artifacts) for key, artifacts in sorted(inputs.items())},
        "source": {"data": driver.fingerprint, "described": driver.description} if driver else {},
    }
    own_inputs = {key: value for key, value in parts["input"].items() if key not in found}
    own_parts = {**parts, "input": own_inputs, "found": {}}
    return Fingerprint(
        parts,
        key=_digest([pipeline, node.id, code.component, parts]),
        key_without_resolved=(
            _digest([pipeline, node.id, code.component, own_parts]) if found else None
        ),
    )


def explain_difference(before: Parts, now: Parts) -> str:
    """Describes why two fingerprints differ: `flights_utils.py changed`, `new span 4`."""
    reasons = []
    for group, describe in _DESCRIPTIONS.items():
        old, new = before.get(group, {}), now.get(group, {})
        changed = [name for name in sorted(old.keys() | new) if old.get(name) != new.get(name)]
        if changed:
            reasons.append(describe(changed, old, new))
    return "; ".join(reasons) or "its component was replaced"


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()


def _digests(closure: SourceClosure, *, is_prodml: bool) -> dict[str, str]:
    """Digests by label, of prodml's own files or of all others."""
    found: dict[str, str] = {}
    for file in closure.files:
        if (file.module.origin is Origin.PRODML) is is_prodml:
            # A file can occur twice: as a whole, and the part that a definition depends on.
            label = file.module.label
            found[label] = f"{found[label]} {file.digest}" if label in found else file.digest
    return found


def _identity(artifacts: Sequence[Artifact]) -> str:
    """A digest of content, type and properties; equal for results with equal content."""
    described = [
        [
            artifact.type_name,
            artifact.custom_properties.get("digest", artifact.uri),
            _values(artifact.properties, frozenset()),
            _values(artifact.custom_properties, _PROVENANCE | artifact.provenance),
        ]
        for artifact in artifacts
    ]
    return _digest(described)


def _values(
    properties: Mapping[str, PropertyValue], left_out: frozenset[str]
) -> list[tuple[str, PropertyValue]]:
    """Properties as the store returns them: without bools, and with secrets redacted."""
    return [
        (name, redact(value) if isinstance(value, str) else float(value))
        for name, value in sorted(properties.items())
        if name not in left_out
    ]


def _names_changed(changed: list[str]) -> str:
    return f"{', '.join(changed)} changed"


def _module_reason(changed: list[str], old: Mapping[str, str], new: Mapping[str, str]) -> str:
    return _names_changed(sorted({name.partition(" ")[2] for name in changed}))


def _executor_reason(changed: list[str], old: Mapping[str, str], new: Mapping[str, str]) -> str:
    files = [name for name in changed if name not in ("prodml", "version")]
    named = f" ({', '.join(files)})" if files else ""
    return f"the component's code changed{named}"


def _parameter_reason(changed: list[str], old: Mapping[str, str], new: Mapping[str, str]) -> str:
    shown = [describe_change(name, old.get(name), new.get(name)) for name in changed]
    return f"parameter {', '.join(shown)}"


def _library_reason(changed: list[str], old: Mapping[str, str], new: Mapping[str, str]) -> str:
    shown = [f"{n} {old.get(n, 'none')} -> {new.get(n, 'none')}" for n in changed]
    return f"library {', '.join(shown)}"


def _source_reason(changed: list[str], old: Mapping[str, str], new: Mapping[str, str]) -> str:
    before, now = old.get("described", ""), new.get("described", "")
    return f"new data: {now}" if before != now else f"data changed: {now}"


def _keras_reason(changed: list[str], old: Mapping[str, str], new: Mapping[str, str]) -> str:
    return f"tf.keras: {old.get('tf.keras', 'none')} -> {new.get('tf.keras', 'none')}"


_DESCRIPTIONS = {
    "source": _source_reason,
    "module": _module_reason,
    "parameters": _parameter_reason,
    "file": lambda changed, old, new: f"file {_names_changed(changed)}",
    "input": lambda changed, old, new: f"new {', '.join(changed)}",
    "executor": _executor_reason,
    "library": _library_reason,
    "keras": _keras_reason,
}
