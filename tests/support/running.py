"""Runs one component's executor on real files, without the engine around it."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prodml.artifacts import Artifact
from prodml.beam.profiles import RunnerProfile
from prodml.dsl.component import Component
from prodml.dsl.executor import ExecutorContext, Reporter
from prodml.dsl.parameters import decode

_numbers = itertools.count(1)


class SilentReporter:
    def progress(self, done: int, total: int | None, unit: str) -> None:
        pass


def execute(
    component: Component,
    inputs: Mapping[str, Artifact | Sequence[Artifact]],
    tmp_path: Path,
    reporter: Reporter | None = None,
    beam: RunnerProfile | None = None,
) -> ExecutorContext:
    """Runs a component's driver, if it has one, and its executor; outputs are under tmp_path."""
    package = type(component).__module__.rpartition(".")[0]
    root = tmp_path / f"{component.id}-{next(_numbers)}"
    outputs: dict[str, Artifact] = {}
    for key, channel in component.outputs.items():
        directory = root / key
        directory.mkdir(parents=True)
        outputs[key] = channel.type(uri=str(directory), final_uri=str(directory))
    (root / "tmp").mkdir()
    parameters = {
        name: decode(
            declared.type if component.parameters[name] is not None else Any,
            component.parameters[name],
        )
        for name, declared in component.signature.parameters.items()
    }
    context = ExecutorContext(
        pipeline_name="test",
        run_id="run-1",
        node_id=component.id,
        inputs={
            key: tuple([given] if isinstance(given, Artifact) else given)
            for key in component.signature.inputs
            for given in [inputs.get(key, ())]
        },
        declared_inputs=frozenset(component.inputs),
        outputs=outputs,
        parameters=parameters,
        resolved=_resolved(package, parameters),
        tmp_dir=str(root / "tmp"),
        beam=beam or RunnerProfile(check_portability=True),
        reporter=reporter or SilentReporter(),
    )
    importlib.import_module(f"{package}.executor").execute(context)
    return context


def _resolved(package: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        driver = importlib.import_module(f"{package}.driver")
    except ModuleNotFoundError as error:
        if error.name != f"{package}.driver":
            raise
        return {}
    if not hasattr(driver, "resolve"):
        return {}
    resolved: Mapping[str, Any] = driver.resolve(parameters).resolved
    return resolved
