"""Runner profiles: the Beam runner of a configuration, and pipelines on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LOCAL_RUNNER = "FnApiRunner"


@dataclass(frozen=True)
class RunnerProfile:
    """A Beam runner and its pipeline options, for example the section `runner` of a configuration.

    Attributes:
        name: a Beam runner: FnApiRunner (in this process), FlinkRunner, SparkRunner,
            DataflowRunner or PortableRunner.
        options: Beam pipeline options by name, without dashes; True is a flag without a value, a
            list repeats the option. FnApiRunner with options is always Beam's own; without
            options, `prodml.beam.local_runner` runs the pipelines that it supports.
        check_portability: makes the local runner pickle every function and encode every element,
            as remote runners do anyway.
    """

    name: str = LOCAL_RUNNER
    options: Mapping[str, Any] = field(default_factory=dict)
    check_portability: bool = False

    def pipeline(self) -> Any:
        """Creates a `beam.Pipeline` on this runner, to be used as a context manager."""
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions

        from prodml.beam.reflection import cache_signatures, is_tested_beam

        if is_tested_beam():
            cache_signatures()
        flags = [flag for name, value in self.options.items() for flag in _flags(name, value)]
        if self.name != LOCAL_RUNNER:
            return beam.Pipeline(self.name, PipelineOptions(flags, runner=self.name))
        # Never DirectRunner: it first tries Prism, a binary that it fetches from the network.
        # And never multi_processing: each worker would import TensorFlow again.
        from apache_beam.runners.portability.fn_api_runner import FnApiRunner

        in_memory = [*flags, "--direct_running_mode=in_memory"]
        if not is_tested_beam():
            return beam.Pipeline(FnApiRunner(), PipelineOptions(in_memory))
        from prodml.beam.local_runner import LocalRunner
        from prodml.beam.options import CachedOptions

        runner = FnApiRunner() if self.options else LocalRunner(self.check_portability)
        return beam.Pipeline(runner, CachedOptions(in_memory))

    def pipeline_of_long_steps(self, shared: object) -> Any:
        """Creates a `beam.Pipeline` whose independent steps run at the same time.

        On FnApiRunner without options, DoFns run in this process.

        Args:
            shared: an object that is passed to DoFns if they run in this process; see
                `prodml.beam.concurrent_runner`.
        """
        import apache_beam as beam

        from prodml.beam.reflection import cache_signatures, is_tested_beam

        if self.name != LOCAL_RUNNER or self.options or not is_tested_beam():
            return self.pipeline()
        from prodml.beam.concurrent_runner import ConcurrentRunner
        from prodml.beam.options import CachedOptions

        cache_signatures()
        return beam.Pipeline(ConcurrentRunner(shared), CachedOptions([]))


def _flags(name: str, value: Any) -> list[str]:
    if value is True:
        return [f"--{name}"]
    if value is False or value is None:
        return []
    if isinstance(value, list | tuple):
        return [f"--{name}={item}" for item in value]
    return [f"--{name}={value}"]
