"""Fingerprints: what a node's result depends on, and what changed between two of them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import prodml
from prodml.artifacts import Artifact
from prodml.compiler.spec import NodeSpec
from prodml.dsl import references
from prodml.dsl.executor import DriverResult
from prodml.errors import UserCodeError
from prodml.orchestration.manifest import file_digest
from prodml.orchestration.parameter_changes import describe_change
from prodml.orchestration.source_closure import source_closure

Parts = Mapping[str, Mapping[str, str]]
"""Group -> item -> value or digest; a group is one kind of reason for a cache miss."""


@dataclass(frozen=True)
class Fingerprint:
    """What a result depends on.

    Attributes:
        parts: everything that counts, so that a later miss can be explained.
        key: a digest of node, pipeline and parts.
        own_key: the same without the inputs that a Resolver found; None where there are none.
    """

    parts: Parts
    key: str
    own_key: str | None

    @property
    def keys(self) -> tuple[str, ...]:
        """All keys under which the cache finds the result."""
        return (self.key,) if self.own_key is None else (self.key, self.own_key)


def fingerprint(
    pipeline: str,
    node: NodeSpec,
    inputs: Mapping[str, Sequence[Artifact]],
    driver: DriverResult | None,
    found: frozenset[str],
) -> Fingerprint:
    """The fingerprint of a node with resolved inputs.

    Args:
        found: input keys whose artifacts a Resolver found in the store.

    Raises:
        UserCodeError: a module or file that it names does not exist.
    """
    executor = _executor_file(node)
    code = source_closure(executor)
    modules = {
        parameter.name: source_closure(_existing(node, parameter.name, parameter.value))
        for parameter in node.parameters
        if parameter.watched == "module" and parameter.value
    }
    files = {
        parameter.name: file_digest(_existing(node, parameter.name, parameter.value))
        for parameter in node.parameters
        if parameter.watched == "file" and isinstance(parameter.value, str)
    }
    versions = {**dict(code.versions)}
    for module in modules.values():
        versions.update(module.versions)
    parts: dict[str, dict[str, str]] = {
        "executor": {"version": prodml.__version__, "code": code.digest},
        "parameters": {
            p.name: json.dumps(p.value, sort_keys=True)
            for p in node.parameters
            if p.watched is None or not isinstance(p.value, str)
        },
        "module": {
            f"{name} {os.path.basename(path)}": digest
            for name, module in modules.items()
            for path, digest in module.files
        },
        "file": files,
        "library": versions,
        "input": {key: _identity(artifacts) for key, artifacts in sorted(inputs.items())},
        "source": {"data": driver.fingerprint, "described": driver.description} if driver else {},
    }
    own_inputs = {key: value for key, value in parts["input"].items() if key not in found}
    own_parts = {**parts, "input": own_inputs, "found": {}}
    return Fingerprint(
        parts,
        key=_digest([pipeline, node.id, node.component, parts]),
        own_key=_digest([pipeline, node.id, node.component, own_parts]) if found else None,
    )


def explain_difference(before: Parts, now: Parts) -> str:
    """Why two fingerprints differ, for a person: `flights_utils.py changed`, `new span 4`."""
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


def _executor_file(node: NodeSpec) -> str:
    own = references.source_file(node.component)
    executor = os.path.join(os.path.dirname(own), "executor.py")
    is_function = node.component.rpartition(":")[0].endswith(".py")
    return executor if os.path.isfile(executor) and not is_function else own


def _existing(node: NodeSpec, name: str, path: Any) -> str:
    if not os.path.isfile(path):
        raise UserCodeError(f"{name}={path!r} does not exist (declared at {node.location})")
    return str(path)


def _identity(artifacts: Sequence[Artifact]) -> str:
    """Content, type and properties; so a result made anew with the same content is the same."""
    described = [
        [
            artifact.type_name,
            artifact.custom_properties.get("digest", artifact.uri),
            sorted(artifact.properties.items()),
        ]
        for artifact in artifacts
    ]
    return _digest(described)


def _names_changed(changed: list[str]) -> str:
    return f"{', '.join(changed)} changed"


def _module_reason(changed: list[str], old: Mapping[str, str], new: Mapping[str, str]) -> str:
    return _names_changed(sorted({name.partition(" ")[2] for name in changed}))


def _parameter_reason(changed: list[str], old: Mapping[str, str], new: Mapping[str, str]) -> str:
    shown = [describe_change(name, old.get(name), new.get(name)) for name in changed]
    return f"parameter {', '.join(shown)}"


def _library_reason(changed: list[str], old: Mapping[str, str], new: Mapping[str, str]) -> str:
    shown = [f"{n} {old.get(n, 'none')} -> {new.get(n, 'none')}" for n in changed]
    return f"library {', '.join(shown)}"


def _source_reason(changed: list[str], old: Mapping[str, str], new: Mapping[str, str]) -> str:
    before, now = old.get("described", ""), new.get("described", "")
    return f"new data: {now}" if before != now else f"data changed: {now}"


_DESCRIPTIONS = {
    "source": _source_reason,
    "module": _module_reason,
    "parameters": _parameter_reason,
    "file": lambda changed, old, new: f"file {_names_changed(changed)}",
    "input": lambda changed, old, new: f"new {', '.join(changed)}",
    "executor": lambda changed, old, new: "the component's code changed",
    "library": _library_reason,
}
