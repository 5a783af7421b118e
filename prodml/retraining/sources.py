"""Reads what a run would read from outside of the store: data, code, parameters, schema files."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prodml.compiler.spec import NodeKind, NodeSpec, PipelineSpec
from prodml.dsl.executor import DriverResult
from prodml.errors import file_operation_error
from prodml.keras_choice import KerasName
from prodml.metadata.records import ArtifactRecord
from prodml.orchestration.code.executors import drive
from prodml.orchestration.resolve.fingerprint import fingerprint
from prodml.orchestration.resolve.inputs import imported_artifact
from prodml.orchestration.resolve.keras_choices import keras_choices
from prodml.retraining.facts import SourceFact, SpanFact
from prodml.retraining.model_lineage import ModelLineage

_ROW_COUNTS = "row_counts"


@dataclass(frozen=True)
class Outside:
    """What nodes would read from outside of the store.

    Attributes:
        state: a digest of all of it.
        drivers: the answer of each node's driver, by node id.
    """

    state: str
    drivers: Mapping[str, DriverResult]


def read_outside(spec: PipelineSpec, keras: KerasName) -> Outside:
    """Reads the data, code, parameters and library versions that a run would use now.

    Raises:
        NodeError: a driver failed, for example because there are no files.
    """
    choices = keras_choices(spec, keras).nodes
    drivers: dict[str, DriverResult] = {}
    parts: dict[str, str] = {}
    for node in spec.nodes:
        if node.kind is NodeKind.IMPORTER:
            parts[node.id] = str(imported_artifact(node).custom_properties["digest"])
        elif node.kind is NodeKind.EXECUTOR:
            driver = drive(node)
            if driver is not None:
                drivers[node.id] = driver
            try:
                found = fingerprint(spec.name, node, {}, driver, frozenset(), choices.get(node.id))
            except OSError as error:
                raise file_operation_error(error) from error
            parts[node.id] = found.key
    text = json.dumps(parts, sort_keys=True)
    return Outside(hashlib.blake2b(text.encode(), digest_size=20).hexdigest(), drivers)


def source_facts(
    outside: Outside, lineage: ModelLineage | None, with_rows: bool
) -> tuple[SourceFact, ...]:
    """The data that nodes read, compared with what the newest model has seen.

    Args:
        outside: what nodes would read now.
        lineage: the newest model; None if there is none.
        with_rows: whether to count the rows that the model has not seen.
    """
    facts = []
    for node_id, driver in outside.drivers.items():
        if "span" not in driver.resolved:
            continue
        seen = lineage.used("Examples", node_id) if lineage else None
        fact = SourceFact(
            node_id,
            SpanFact(int(driver.resolved["span"]), int(driver.resolved["version"])),
            _span_of(seen) if seen else None,
        )
        if with_rows:
            fact = dataclasses.replace(fact, new_rows=_new_rows(driver, fact, seen))
        facts.append(fact)
    return tuple(facts)


def _span_of(examples: ArtifactRecord) -> SpanFact:
    values = examples.properties
    return SpanFact(int(values.get("span", 0)), int(values.get("version", 0)))


def _new_rows(driver: DriverResult, fact: SourceFact, seen: ArtifactRecord | None) -> int:
    files: Mapping[str, Sequence[str]] = driver.resolved["files"]
    spans: Mapping[str, Sequence[Sequence[int]]] = driver.resolved["spans"]
    each = [
        (path, SpanFact(*span))
        for split, paths in files.items()
        for path, span in zip(paths, spans[split], strict=True)
    ]
    if fact.trained is None or fact.available != SpanFact(0, 0):
        return _rows_of(
            [path for path, span in each if fact.trained is None or span > fact.trained]
        )
    # Without spans, new rows are in the same files as the rows that the model has seen.
    counts: dict[str, int] = (
        json.loads(str(seen.custom_properties.get(_ROW_COUNTS, "{}"))) if seen else {}
    )
    return max(0, _rows_of([path for path, _ in each]) - sum(counts.values()))


def _rows_of(paths: Sequence[str]) -> int:
    if not paths:
        return 0
    from prodml.retraining.row_counts import count_rows

    return count_rows(paths)


def schema_nodes(spec: PipelineSpec) -> list[NodeSpec]:
    """The nodes whose only output is a Schema: they infer or import one."""
    return [node for node in spec.nodes if [o.type for o in node.outputs] == ["Schema"]]
