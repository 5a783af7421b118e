"""The parameters of dynamic batching, read from TF Serving's batching parameters file."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass

from prodml.errors import ConfigError
from prodml.serving.configuration.text_protos import BatchingParameters, read_text_proto


@dataclass(frozen=True)
class BatchingOptions:
    """How requests are combined into batches; the defaults are TF Serving's.

    Attributes:
        max_batch_size: maximum rows in a batch.
        batch_timeout_micros: how long a partial batch waits for more rows.
        max_enqueued_batches: maximum number of batches that wait for a thread.
        num_batch_threads: maximum number of batches that run concurrently.
        allowed_batch_sizes: sizes that a batch is padded to, ascending; any size if empty.
        pad_variable_length_inputs: whether inputs are padded to the longest in their batch.
        enable_large_batch_splitting: whether a request larger than a batch is split.
        max_execution_batch_size: maximum rows that run together if requests are split.
        thread_pool_name: name of the threads in the metrics.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = os.cpu_count() or 1
    allowed_batch_sizes: tuple[int, ...] = ()
    pad_variable_length_inputs: bool = False
    enable_large_batch_splitting: bool = False
    max_execution_batch_size: int = 1000
    thread_pool_name: str = ""

    @property
    def run_size(self) -> int:
        """Maximum rows that run together."""
        return (
            self.max_execution_batch_size
            if self.enable_large_batch_splitting
            else self.max_batch_size
        )

    def padded(self, size: int) -> int:
        """Returns the size that a batch of `size` rows is padded to."""
        return next((allowed for allowed in self.allowed_batch_sizes if allowed >= size), size)


def read_batching_options(path: str) -> BatchingOptions:
    """Reads the options from a text file with TF Serving's BatchingParameters.

    Raises:
        ConfigError: the file cannot be read, or its parameters are invalid.
    """
    message = read_text_proto(path, BatchingParameters)
    values = {
        field.name: value.value if hasattr(value, "value") else value
        for field, value in message.ListFields()
    }
    values["allowed_batch_sizes"] = tuple(values.get("allowed_batch_sizes", ()))
    values.setdefault("max_execution_batch_size", values.get("max_batch_size", 1000))
    options = BatchingOptions(**values)
    if (problem := _problem(options)) is not None:
        raise ConfigError(f"{path}: {problem}")
    return options


def _problem(options: BatchingOptions) -> str | None:
    for name in (
        "max_batch_size",
        "max_enqueued_batches",
        "num_batch_threads",
        "max_execution_batch_size",
    ):
        if (value := getattr(options, name)) < 1:
            return f"{name} must be at least 1; was {value}"
    if options.batch_timeout_micros < 0:
        return f"batch_timeout_micros must not be negative; was {options.batch_timeout_micros}"
    if options.max_execution_batch_size > options.max_batch_size:
        return (
            f"max_execution_batch_size must not exceed max_batch_size; was "
            f"{options.max_execution_batch_size} and {options.max_batch_size}"
        )
    sizes = options.allowed_batch_sizes
    if any(later <= earlier for earlier, later in itertools.pairwise(sizes)):
        return f"allowed_batch_sizes entries must be monotonically increasing; were {list(sizes)}"
    if sizes and sizes[0] < 1:
        return f"allowed_batch_sizes must be at least 1; were {list(sizes)}"
    if sizes and sizes[-1] != options.run_size:
        name = (
            "max_execution_batch_size" if options.enable_large_batch_splitting else "max_batch_size"
        )
        return (
            f"Last entry in allowed_batch_sizes must match {name}; last entry was {sizes[-1]}; "
            f"expected {options.run_size}"
        )
    return None
