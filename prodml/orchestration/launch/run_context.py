"""The constant data of one run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from prodml.beam.profiles import RunnerProfile
from prodml.compiler.spec import NodeSpec, PipelineSpec
from prodml.metadata.records import Attempt
from prodml.orchestration.launch.node_limits import NodeLimits
from prodml.orchestration.launch.retries import RetryPolicy
from prodml.orchestration.recovery.earlier_attempts import RunHistory
from prodml.orchestration.resolve.keras_choices import KerasChoices


@dataclass(frozen=True)
class RunContext:
    """The constant data of one run.

    Attributes:
        pipeline_root: where the pipeline's artifacts are published; a path or a URL.
        scratch_root: directory for staging and for local copies if `pipeline_root` is a URL.
        log_dir: directory of the nodes' output.
        beam: the runner profile for executors.
        retry: when a failed node is retried.
        limits: limits of nodes by node id; nodes without limits are absent.
        history: what the run did before it was resumed.
        keras: what `tf.keras` means, in this process and for each node.
    """

    spec: PipelineSpec
    run_id: str
    pipeline_root: str
    scratch_root: str
    log_dir: str
    beam: RunnerProfile = field(default_factory=RunnerProfile)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    limits: Mapping[str, NodeLimits] = field(default_factory=dict)
    history: RunHistory = field(default_factory=RunHistory)
    keras: KerasChoices = field(default_factory=KerasChoices)

    def attempt(self, node: NodeSpec, number: int) -> Attempt:
        """The key data of an attempt to run a node, for its record in ML Metadata."""
        return Attempt(self.spec.name, self.run_id, node.id, node.execution_type, number)

    def first_attempt(self, node_id: str) -> int:
        """The number of the first attempt of this process; attempts before a resume count, too."""
        return self.history.attempts.get(node_id, 0) + 1

    def log(self, node_id: str) -> str:
        """The file for a node's output."""
        return os.path.join(self.log_dir, f"{node_id}.log")
