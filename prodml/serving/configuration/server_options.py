"""What `prodml serve` can be told: TF Serving's options, under its names and with its meaning."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from prodml.errors import ConfigError

_CPUS = os.cpu_count() or 1
_REQUESTS_IN_FLIGHT = 4


def _option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class ServerOptions:
    """The options of a model server. The first group is prodml's own, the rest is TF Serving's."""

    host: str = _option("127.0.0.1", "Address to listen on. 0.0.0.0 answers other machines, too.")
    max_request_bytes: int = _option(
        64 * 1024 * 1024, "Largest request, in bytes; a larger one is refused."
    )
    max_waiting_requests: int = _option(
        1024, "Requests that may run or wait; RESOURCE_EXHAUSTED for any more."
    )
    max_inflight_bytes: int = _option(
        0,
        "Bytes of all requests that run or wait; RESOURCE_EXHAUSTED for any more. 0 is four times "
        "--max_request_bytes.",
    )
    drain_seconds: float = _option(
        10.0, "On SIGTERM, how long requests may take that have begun, before the server ends."
    )
    request_log_dir: str = _option(
        "",
        "Directory for samples of requests and answers. With --model_config_file, models with a "
        "logging_config are logged, whose filename_prefix must lie in it; otherwise the model is.",
    )
    request_log_sampling_rate: float = _option(
        0.01, "Share of requests that are logged, from 0 to 1. Ignored with --model_config_file."
    )
    request_log_keep_days: float = _option(30.0, "Delete request logs that are older.")
    request_log_keep_bytes: int = _option(
        10 << 30, "Delete the oldest request logs until all together are no larger."
    )
    model_roots: str = _option(
        "",
        "Directories, with commas between, below which ReloadConfig may name base paths; / allows "
        "any. By default any if --host is a loopback address, otherwise the base paths at the "
        "start.",
    )

    port: int = _option(8500, "TCP port for gRPC; 0 for none.")
    grpc_socket_path: str = _option("", "Listen for gRPC on this UNIX socket, too.")
    rest_api_port: int = _option(0, "TCP port for REST; 0 for none.")
    rest_api_timeout_in_ms: int = _option(
        30000, "How long a REST request may take; 0 or less for as long as it takes."
    )
    rest_api_enable_cors_support: bool = _option(False, "Send CORS headers on REST.")
    rest_api_num_threads: int = _option(
        4 * _CPUS, "Calls of models that run at once, unless --grpc_max_threads is more."
    )
    model_name: str = _option("default", "Name of the model. Ignored with --model_config_file.")
    model_base_path: str = _option(
        "", "Directory of the model's versions. Ignored with --model_config_file."
    )
    model_config_file: str = _option("", "Text file with a ModelServerConfig.")
    model_config_file_poll_wait_seconds: int = _option(
        0, "Pause between looks at --model_config_file; 0 never looks again."
    )
    file_system_poll_wait_seconds: int = _option(
        1,
        "Pause between looks for new versions; 0 looks once, a negative number never.",
    )
    num_load_threads: int = _option(0, "Versions loaded at once; 0 is one.")
    num_unload_threads: int = _option(0, "Versions unloaded at once; 0 is one.")
    max_num_load_retries: int = _option(5, "How often a failed load is tried again.")
    load_retry_interval_micros: int = _option(
        60_000_000, "Pause before each of these; a negative number is none."
    )
    allow_version_labels_for_unavailable_models: bool = _option(
        False, "Let a new label name a version that is not available yet."
    )
    force_allow_any_version_labels_for_unavailable_models: bool = _option(
        False, "Let any label name a version that is not available."
    )
    saved_model_tags: str = _option("serve", "Tags of the graph to load, with commas between.")
    prefer_tflite_model: bool = _option(
        False, "Serve model.tflite where a version directory has one."
    )
    num_tflite_pools: int = _option(
        _CPUS,
        "Pools of TFLite interpreters that a model has. Times the next option, the calls of a "
        "TFLite model that run at once.",
    )
    num_tflite_interpreters_per_pool: int = _option(1, "TFLite interpreters in a pool.")
    enable_model_warmup: bool = _option(
        True, "Run assets.extra/tf_serving_warmup_requests before a version answers."
    )
    num_request_iterations_for_warmup: int = _option(
        1, "How often each of these requests is run; 1 for none or less."
    )
    enable_batching: bool = _option(False, "Run requests together that arrive together.")
    batching_parameters_file: str = _option("", "Text file with BatchingParameters.")
    tensorflow_session_parallelism: int = _option(
        0, "Threads for each of the two below; 0 chooses. Ignored if one of them is given."
    )
    tensorflow_intra_op_parallelism: int = _option(
        0, "Threads that share one operation's work; 0 chooses."
    )
    tensorflow_inter_op_parallelism: int = _option(
        0, "Threads that run one call's operations side by side; 0 runs them one by one."
    )
    per_process_gpu_memory_fraction: float = _option(0.0, "Share of a GPU's memory to take.")
    flush_filesystem_caches: bool = _option(
        True, "Let the system forget a model's files once it is loaded."
    )
    enable_signature_method_name_check: bool = _option(
        False, "Let Predict run only signatures of TF Serving's methods."
    )
    enable_serialization_as_tensor_content: bool = _option(
        False, "Answer Predict with bytes in tensor_content."
    )
    enable_grpc_healthcheck_service: bool = _option(True, "Offer gRPC's health service.")
    grpc_channel_arguments: str = _option(
        "", "Arguments for gRPC, key=value with commas between, as grpc.max_concurrent_streams=9."
    )
    grpc_max_threads: int = _option(4 * _CPUS, "Calls of models that run at once.")
    ssl_config_file: str = _option("", "Text file with an SSLConfig, for gRPC.")
    monitoring_config_file: str = _option("", "Text file with a MonitoringConfig.")

    @property
    def inflight_bytes(self) -> int:
        """What `max_inflight_bytes` means."""
        return self.max_inflight_bytes or _REQUESTS_IN_FLIGHT * self.max_request_bytes

    def check(self) -> None:
        """Finds what no server can be started with.

        Raises:
            ConfigError: names the option and the mend.
        """
        if not self.model_config_file and not self.model_base_path:
            raise ConfigError(
                "there is no model to serve: name its directory with --model_base_path, or several "
                "in a --model_config_file"
            )
        if self.rest_api_port and self.rest_api_port == self.port:
            raise ConfigError(
                "--rest_api_port cannot be same as --port. Please use a different port for "
                "HTTP/REST API."
            )
        if self.enable_batching is False and self.batching_parameters_file:
            raise ConfigError("--batching_parameters_file needs --enable_batching")
        if not self.port and not self.grpc_socket_path:
            raise ConfigError("--port is 0 and there is no --grpc_socket_path; set one of them")
        parallelism = ("session", "intra_op", "inter_op")
        if all(getattr(self, f"tensorflow_{each}_parallelism") > 0 for each in parallelism):
            raise ConfigError(
                "set either --tensorflow_session_parallelism, or --tensorflow_intra_op_parallelism "
                "and --tensorflow_inter_op_parallelism, not all three"
            )
        for name in ("port", "rest_api_port"):
            if not 0 <= getattr(self, name) <= 65535:
                raise ConfigError(f"--{name} must be from 0 to 65535")
        for name in ("max_request_bytes", "max_waiting_requests", "grpc_max_threads"):
            if getattr(self, name) < 1:
                raise ConfigError(f"--{name} must be at least 1")
        for name in ("request_log_keep_days", "request_log_keep_bytes"):
            if getattr(self, name) < 0:
                raise ConfigError(f"--{name} must not be negative")
        if 0 != self.max_inflight_bytes < self.max_request_bytes:
            raise ConfigError("--max_inflight_bytes must be 0 or at least --max_request_bytes")
        if not 0 <= self.request_log_sampling_rate <= 1:
            raise ConfigError("--request_log_sampling_rate must be from 0 to 1")


def channel_arguments(text: str) -> list[tuple[str, int | str]]:
    """Arguments for gRPC from `key=value,key=value`; whole numbers become ints.

    Raises:
        ConfigError: a part has no `=`.
    """
    arguments: list[tuple[str, int | str]] = []
    for part in filter(None, text.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            raise ConfigError(f"--grpc_channel_arguments: {part!r} is not key=value")
        is_whole = value.removeprefix("-").isdigit()
        arguments.append((key, int(value) if is_whole else value))
    return arguments
