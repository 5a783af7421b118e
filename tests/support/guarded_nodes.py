"""Components for pipelines with guards: sources, guards, and nodes that wait for guards."""

import os
from typing import Any

from prodml import Input, Output, Parameter, component
from prodml.artifacts import Examples, Schema


def work(made: Any, text: str, fails: bool) -> None:
    """Writes a text, or fails."""
    if fails:
        raise ValueError("fails on purpose")
    with open(os.path.join(made.uri, "text"), "w", encoding="utf-8") as file:
        file.write(text)


@component
def Source(
    made: Output[Examples],
    text: Parameter[str],
    good: Parameter[int] = 1,
    fails: Parameter[bool] = False,
) -> None:
    made.custom_properties["good"] = good
    work(made, text, fails)


@component
def Derive(
    source: Input[Examples],
    made: Output[Examples],
    text: Parameter[str],
    other: Input[Examples] | None = None,
    fails: Parameter[bool] = False,
) -> None:
    made.custom_properties["good"] = 1
    work(made, text, fails)


@component
def Describe(
    source: Input[Examples],
    made: Output[Schema],
    text: Parameter[str],
    fails: Parameter[bool] = False,
) -> None:
    work(made, text, fails)


@component
def Check(
    source: Input[Examples],
    made: Output[Schema],
    text: Parameter[str],
    fails: Parameter[bool] = False,
) -> None:
    work(made, text, fails)


Check.judges = ("source",)


@component
def CheckDescription(
    source: Input[Schema],
    made: Output[Schema],
    text: Parameter[str],
    fails: Parameter[bool] = False,
) -> None:
    work(made, text, fails)


CheckDescription.judges = ("source",)


@component
def Push(
    source: Input[Examples],
    made: Output[Schema],
    text: Parameter[str],
    fails: Parameter[bool] = False,
) -> None:
    work(made, text, fails)


Push.needs_clean_run = True
