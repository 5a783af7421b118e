"""Runner profiles: where Beam pipelines run, and how to open one there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LOCAL_RUNNER = "FnApiRunner"


@dataclass(frozen=True)
class RunnerProfile:
    """A Beam runner and its pipeline options, from the `runner:` part of a configuration.

    Attributes:
        name: a Beam runner: FnApiRunner (in this process), FlinkRunner, SparkRunner,
            DataflowRunner or PortableRunner.
        options: Beam pipeline options by name, without dashes; True stands for a bare flag, a
            list repeats the option. FnApiRunner with options is Beam's own in every case;
            without them, `prodml.beam.local_runner` runs the pipelines that it claims.
        check_portability: the local runner pickles every function and encodes every element, as
            remote runners do anyway.
    """

    name: str = LOCAL_RUNNER
    options: Mapping[str, Any] = field(default_factory=dict)
    check_portability: bool = False

    def pipeline(self) -> Any:
        """A new `beam.Pipeline` on this runner, to be used as a context manager."""
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions

        from prodml.beam.reflection import is_tested_beam, remember_signatures

        if is_tested_beam():
            remember_signatures()
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
        from prodml.beam.options import RememberingOptions

        runner = FnApiRunner() if self.options else LocalRunner(self.check_portability)
        return beam.Pipeline(runner, RememberingOptions(in_memory))

    def pipeline_of_long_steps(self, shared: object) -> Any:
        """A new `beam.Pipeline` whose independent steps run at the same time.

        Args:
            shared: a live object that DoFns get if they run in this process, which they do on
                FnApiRunner without options; see `prodml.beam.concurrent_runner`.
        """
        import apache_beam as beam

        from prodml.beam.reflection import is_tested_beam, remember_signatures

        if self.name != LOCAL_RUNNER or self.options or not is_tested_beam():
            return self.pipeline()
        from prodml.beam.concurrent_runner import ConcurrentRunner
        from prodml.beam.options import RememberingOptions

        remember_signatures()
        return beam.Pipeline(ConcurrentRunner(shared), RememberingOptions([]))


def _flags(name: str, value: Any) -> list[str]:
    if value is True:
        return [f"--{name}"]
    if value is False or value is None:
        return []
    if isinstance(value, list | tuple):
        return [f"--{name}={item}" for item in value]
    return [f"--{name}={value}"]
