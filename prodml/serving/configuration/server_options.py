"""The options of `prodml serve`: TF Serving's, with the same names and meanings, and a few more."""

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

    host: str = _option(
        "127.0.0.1", "Address to listen on. 0.0.0.0 accepts requests from other machines, too."
    )
    max_request_bytes: int = _option(
        64 * 1024 * 1024, "Maximum size of a request in bytes; larger ones are rejected."
    )
    max_waiting_requests: int = _option(
        1024, "Maximum number of requests that run or wait; others get RESOURCE_EXHAUSTED."
    )
    max_inflight_bytes: int = _option(
        0,
        "Maximum bytes of all requests that run or wait; others get RESOURCE_EXHAUSTED. 0 is four "
        "times --max_request_bytes.",
    )
    drain_seconds: float = _option(
        10.0, "On SIGTERM, time limit for requests in progress before the server ends."
    )
    request_log_dir: str = _option(
        "",
        "Directory for samples of requests and answers. With --model_config_file, models with a "
        "logging_config are logged, whose filename_prefix must be in this directory; otherwise the "
        "model is logged.",
    )
    request_log_sampling_rate: float = _option(
        0.01, "Fraction of requests to log, from 0 to 1. Ignored with --model_config_file."
    )
    request_log_keep_days: float = _option(30.0, "Delete request logs that are older than this.")
    request_log_keep_bytes: int = _option(
        10 << 30, "Delete the oldest request logs if all together are larger than this."
    )
    model_roots: str = _option(
        "",
        "Comma-separated directories that must contain the base paths of a ReloadConfig; / allows "
        "any. By default any if --host is a loopback address, otherwise the base paths at the "
        "start.",
    )

    port: int = _option(8500, "TCP port for gRPC; 0 for none.")
    grpc_socket_path: str = _option("", "Listen for gRPC on this UNIX socket, too.")
    rest_api_port: int = _option(0, "TCP port for REST; 0 for none.")
    rest_api_timeout_in_ms: int = _option(
        30000, "Time limit for a REST request; 0 or less for no limit."
    )
    rest_api_enable_cors_support: bool = _option(False, "Send CORS headers in REST responses.")
    rest_api_num_threads: int = _option(
        4 * _CPUS, "Maximum number of concurrent model calls, unless --grpc_max_threads is larger."
    )
    model_name: str = _option("default", "Name of the model. Ignored with --model_config_file.")
    model_base_path: str = _option(
        "", "Directory of the model's versions. Ignored with --model_config_file."
    )
    model_config_file: str = _option("", "Text file with a ModelServerConfig.")
    model_config_file_poll_wait_seconds: int = _option(
        0, "Pause between polls of --model_config_file; 0 reads it only at the start."
    )
    file_system_poll_wait_seconds: int = _option(
        1,
        "Pause between polls for new versions; 0 polls once, a negative number never.",
    )
    num_load_threads: int = _option(0, "Maximum number of concurrent loads; 0 is one.")
    num_unload_threads: int = _option(0, "Maximum number of concurrent unloads; 0 is one.")
    max_num_load_retries: int = _option(5, "How often a failed load is retried.")
    load_retry_interval_micros: int = _option(
        60_000_000, "Pause before each retry of a load; a negative number is no pause."
    )
    allow_version_labels_for_unavailable_models: bool = _option(
        False, "Let a new label name a version that is not available yet."
    )
    force_allow_any_version_labels_for_unavailable_models: bool = _option(
        False, "Let any label name a version that is not available."
    )
    saved_model_tags: str = _option("serve", "Comma-separated tags of the graph to load.")
    prefer_tflite_model: bool = _option(False, "Serve model.tflite if a version directory has one.")
    num_tflite_pools: int = _option(
        _CPUS,
        "Number of TFLite interpreter pools per model. Multiplied by "
        "--num_tflite_interpreters_per_pool, the maximum number of concurrent calls of a TFLite "
        "model.",
    )
    num_tflite_interpreters_per_pool: int = _option(1, "Number of TFLite interpreters per pool.")
    enable_model_warmup: bool = _option(
        True, "Run assets.extra/tf_serving_warmup_requests before a version becomes available."
    )
    num_request_iterations_for_warmup: int = _option(
        1, "How often each warm-up request is run; values below 1 are 1."
    )
    enable_batching: bool = _option(False, "Combine requests that arrive together into batches.")
    batching_parameters_file: str = _option("", "Text file with BatchingParameters.")
    tensorflow_session_parallelism: int = _option(
        0,
        "Value of --tensorflow_intra_op_parallelism and --tensorflow_inter_op_parallelism if "
        "neither is set; 0 lets TensorFlow choose.",
    )
    tensorflow_intra_op_parallelism: int = _option(
        0, "Threads that share the work of one operation; 0 lets TensorFlow choose."
    )
    tensorflow_inter_op_parallelism: int = _option(
        0, "Threads that run the operations of one call concurrently; 0 runs them one by one."
    )
    per_process_gpu_memory_fraction: float = _option(0.0, "Fraction of a GPU's memory to use.")
    flush_filesystem_caches: bool = _option(
        True, "Drop a model's files from the page cache once it is loaded."
    )
    enable_signature_method_name_check: bool = _option(
        False, "Let Predict run only signatures whose method name is one of TF Serving's."
    )
    enable_serialization_as_tensor_content: bool = _option(
        False, "Answer Predict with bytes in tensor_content."
    )
    enable_grpc_healthcheck_service: bool = _option(True, "Serve gRPC's health service.")
    grpc_channel_arguments: str = _option(
        "", "Comma-separated key=value arguments for gRPC, such as grpc.max_concurrent_streams=9."
    )
    grpc_max_threads: int = _option(4 * _CPUS, "Maximum number of concurrent model calls.")
    ssl_config_file: str = _option("", "Text file with an SSLConfig, for gRPC.")
    monitoring_config_file: str = _option("", "Text file with a MonitoringConfig.")

    @property
    def inflight_bytes(self) -> int:
        """The effective value of `max_inflight_bytes`."""
        return self.max_inflight_bytes or _REQUESTS_IN_FLIGHT * self.max_request_bytes

    def check(self) -> None:
        """Checks that a server can start with these options.

        Raises:
            ConfigError: an option is invalid; the message names the option and the fix.
        """
        if not self.model_config_file and not self.model_base_path:
            raise ConfigError(
                "there is no model to serve: set --model_base_path to its directory, or list "
                "several models in a --model_config_file"
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
    """Parses arguments for gRPC from `key=value,key=value`; integers become int.

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
