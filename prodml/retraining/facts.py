"""The facts that retraining is decided from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ModelFact:
    """The newest model; `created` in Unix ms."""

    id: int
    created: int


@dataclass(frozen=True, order=True)
class SpanFact:
    """A span and its version."""

    span: int
    version: int

    def __str__(self) -> str:
        return f"span {self.span}" + (f" version {self.version}" if self.version else "")


@dataclass(frozen=True)
class SourceFact:
    """The data that a node reads from outside of the pipeline.

    Attributes:
        node_id: id of the node.
        available: the newest span that a run would read.
        trained: the newest span that the newest model has seen; None if it has seen none.
        new_rows: number of rows that a run would read and the newest model has not seen; None if
            they were not counted.
    """

    node_id: str
    available: SpanFact
    trained: SpanFact | None
    new_rows: int | None = None


@dataclass(frozen=True)
class SchemaFact:
    """A schema; digests of what the newest model used and of what is current, empty if absent."""

    node_id: str
    trained: str
    current: str


@dataclass(frozen=True)
class Measured:
    """Measured values by name, or the reason why there are none.

    Attributes:
        values: values by the name of a feature or metric.
        source: what was measured, such as "evaluation 12".
        absence: why nothing could be measured; empty if it was measured.
    """

    values: Mapping[str, float] = field(default_factory=dict)
    source: str = ""
    absence: str = ""


@dataclass(frozen=True)
class Facts:
    """Everything that the decision depends on; facts that no trigger needs are absent.

    Attributes:
        now: the current time in Unix ms.
        state: a digest of what a run would read: data, code, parameters and library versions.
        model: the newest model; None if there is none yet.
        sources: the data that nodes read.
        schemas: the schemas of the pipeline.
        drift: divergence by feature.
        metrics: metrics of the newest evaluation, by name.
    """

    now: int
    state: str
    model: ModelFact | None = None
    sources: tuple[SourceFact, ...] = ()
    schemas: tuple[SchemaFact, ...] = ()
    drift: Measured = Measured()
    metrics: Measured = Measured()
