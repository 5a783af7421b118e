"""Options of tensorflow_model_server that `prodml serve` does not have.

Options that only tune TensorFlow's own server are accepted with a warning, so that its command
lines work here. Options that would change who may send requests, or the answers, are errors.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from prodml.errors import ConfigError

WITHOUT_EFFECT = {
    "enable_profiler": "there is no profiler service",
    "remove_unused_fields_from_bundle_metagraph": "unused fields are never kept",
    "skip_initialize_tpu": "there are no TPUs",
    "thread_pool_factory_config_file": "thread pools are set by the other options",
    "xla_cpu_compilation_enabled": "XLA is not used",
    "xla_gpu_compilation_enabled": "XLA is not used",
}
"""Options that do not change any answer, with the reason."""

UNSUPPORTED = {
    "enable_per_model_batching_parameters": "use --batching_parameters_file for all models",
    "mixed_precision": "export the model with the desired precision",
    "platform_config_file": "serve TensorFlow and TFLite models with the other options",
    "tensorflow_session_config_file": "use --tensorflow_intra_op_parallelism, "
    "--tensorflow_inter_op_parallelism and --per_process_gpu_memory_fraction",
    "use_alts_credentials": "use --ssl_config_file",
}
"""Options that are errors unless they are disabled, with what to use instead."""

_OFF = ("", "false", "0")

log = logging.getLogger(__name__)


def without_foreign_options(arguments: Sequence[str]) -> list[str]:
    """Removes options without effect from the arguments.

    Raises:
        ConfigError: an option requires something that this server does not support.
    """
    left = []
    for argument in arguments:
        name, equals, value = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or name not in WITHOUT_EFFECT | UNSUPPORTED:
            left.append(argument)
        elif name in WITHOUT_EFFECT:
            log.warning("--%s has no effect: %s", name, WITHOUT_EFFECT[name])
        elif not equals or value.lower() not in _OFF:
            raise ConfigError(f"--{name} is not supported; {UNSUPPORTED[name]}")
    return left
