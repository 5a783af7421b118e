"""Runner profiles: the Beam runner of a configuration, and pipelines on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from prodml.beam.runner_options import RUNNERS, flags, option_problem
from prodml.suggestions import suggest

LOCAL_RUNNER = "FnApiRunner"


@dataclass(frozen=True)
class RunnerProfile:
    """A Beam runner and its pipeline options, for example the section `runner` of a configuration.

    Attributes:
        name: a Beam runner: FnApiRunner (in this process), PrismRunner, FlinkRunner, SparkRunner,
            DataflowRunner or PortableRunner.
        options: Beam pipeline options by name, without dashes; a list repeats the option.
            FnApiRunner with options is always Beam's own; without options,
            `prodml.beam.local_runner` runs the pipelines that it supports.
        check_portability: makes the local runner pickle every function and encode every element,
            as remote runners do anyway.

    Raises:
        ValueError: the runner, or an option of it, is unknown, or its value has another type.
    """

    name: str = LOCAL_RUNNER
    options: Mapping[str, Any] = field(default_factory=dict)
    check_portability: bool = False

    def __post_init__(self) -> None:
        if self.name not in RUNNERS:
            raise ValueError(f"unknown runner {self.name!r}{suggest(self.name, RUNNERS)}")
        found = (option_problem(self.name, *option) for option in self.options.items())
        if problems := list(filter(None, found)):
            raise ValueError("; ".join(problems))

    def pipeline(self) -> Any:
        """Creates a `beam.Pipeline` on this runner, to be used as a context manager.

        Raises:
            RunnerError: the job server of the options does not answer. At the end of the context,
                the job failed on its runner.
        """
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions

        from prodml.beam.reflection import cache_signatures, is_tested_beam

        if is_tested_beam():
            cache_signatures()
        # Before options are parsed: it declares one that Beam would drop.
        from prodml.beam.options import CachedOptions

        given = flags(self.name, self.options)
        if self.name != LOCAL_RUNNER:
            if endpoint := self.options.get("job_endpoint"):
                from prodml.beam.job_service import check_job_service

                check_job_service(endpoint)
            from prodml.beam.remote_pipeline import RemotePipeline

            return RemotePipeline(self.name, PipelineOptions(given, runner=self.name))
        # Never DirectRunner: it first tries Prism, a binary that it fetches from the network.
        # And never multi_processing: each worker would import TensorFlow again.
        from apache_beam.runners.portability.fn_api_runner import FnApiRunner

        in_memory = [*given, "--direct_running_mode=in_memory"]
        if not is_tested_beam():
            return beam.Pipeline(FnApiRunner(), PipelineOptions(in_memory))
        from prodml.beam.local_runner import LocalRunner

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
