"""Nodes that do nothing, one after the other or all after the first: what the engine costs."""

from prodml import Input, Output, component, pipeline
from prodml.artifacts import Schema


@component
def First(made: Output[Schema]) -> None:
    pass


@component
def Next(given: Input[Schema], made: Output[Schema]) -> None:
    pass


@pipeline(name="noop")
def noop(nodes: int, in_chain: bool) -> None:
    """So many nodes, in a chain or in a fan."""
    last = first = First()
    for number in range(1, nodes):
        given = last if in_chain else first
        last = Next(given=given.outputs["made"]).with_id(f"Next{number}")
