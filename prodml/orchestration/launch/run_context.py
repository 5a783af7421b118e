"""The constant data of one run."""

from __future__ import annotations

import os
from dataclasses import dataclass

from prodml.compiler.spec import NodeSpec, PipelineSpec
from prodml.metadata.records import Attempt
from prodml.orchestration.recovery.earlier_attempts import RunHistory
from prodml.orchestration.resolve.keras_choices import KerasChoices
from prodml.orchestration.settings import RunSettings


@dataclass(frozen=True)
class RunContext:
    """The constant data of one run.

    Attributes:
        pipeline_root: where the pipeline's artifacts are published; a path or a URL.
        scratch_root: directory for staging and for local copies if `pipeline_root` is a URL.
        settings: the settings of the run.
        history: what the run did before it was resumed.
        keras: what `tf.keras` means, in this process and for each node.
    """

    spec: PipelineSpec
    run_id: str
    pipeline_root: str
    scratch_root: str
    settings: RunSettings
    history: RunHistory
    keras: KerasChoices

    @property
    def log_dir(self) -> str:
        """The directory of the nodes' output."""
        return os.path.join(self.settings.log_root, self.run_id)

    def attempt(self, node: NodeSpec, number: int) -> Attempt:
        """The key data of an attempt to run a node, for its record in ML Metadata."""
        return Attempt(self.spec.name, self.run_id, node.id, node.execution_type, number)

    def first_attempt(self, node_id: str) -> int:
        """The number of the first attempt of this process; attempts before a resume count, too."""
        return self.history.attempts.get(node_id, 0) + 1

    def log(self, node_id: str) -> str:
        """The file for a node's output."""
        return os.path.join(self.log_dir, f"{node_id}.log")
