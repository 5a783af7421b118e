"""Derives the options of each part of a model server from those of `prodml serve`."""

from __future__ import annotations

from prodml.serving.configuration.batching_parameters import BatchingOptions, read_batching_options
from prodml.serving.configuration.monitoring_config import read_metrics_path
from prodml.serving.configuration.server_options import ServerOptions
from prodml.serving.loading import ModelOptions
from prodml.serving.models.saved_model import SessionOptions
from prodml.serving.models.served_model import LoadingOptions
from prodml.serving.observation.request_log_options import RequestLogOptions
from prodml.serving.rest_api.rest_options import RestOptions

_BATCH_THREADS = "model_server_batch_threads"
"""TF Serving's default name of the batch threads, in its metrics too."""


def batching_options(options: ServerOptions) -> BatchingOptions | None:
    """How requests are combined into batches; None if they are not.

    Raises:
        ConfigError: the file of batching parameters cannot be read, or is invalid.
    """
    if not options.enable_batching:
        return None
    if options.batching_parameters_file:
        return read_batching_options(options.batching_parameters_file)
    return BatchingOptions(thread_pool_name=_BATCH_THREADS)


def model_options(options: ServerOptions) -> ModelOptions:
    """How versions are loaded into sessions and warmed up."""
    threads = (options.tensorflow_intra_op_parallelism, options.tensorflow_inter_op_parallelism)
    if not any(threads):
        threads = (options.tensorflow_session_parallelism,) * 2
    return ModelOptions(
        tags=options.saved_model_tags.split(","),
        session=SessionOptions(
            intra_op_threads=threads[0],
            inter_op_threads=threads[1],
            gpu_memory_fraction=options.per_process_gpu_memory_fraction,
        ),
        prefer_tflite=options.prefer_tflite_model,
        tflite_interpreters=options.num_tflite_pools * options.num_tflite_interpreters_per_pool,
        warm_up_rounds=max(1, options.num_request_iterations_for_warmup)
        if options.enable_model_warmup
        else 0,
        drop_file_cache=options.flush_filesystem_caches,
        checks_method_name=options.enable_signature_method_name_check,
    )


def loading_options(options: ServerOptions) -> LoadingOptions:
    """How versions are found, and when they are loaded."""
    return LoadingOptions(
        load_threads=max(1, options.num_load_threads),
        unload_threads=max(1, options.num_unload_threads),
        max_retries=options.max_num_load_retries,
        retry_seconds=options.load_retry_interval_micros / 1e6,
        poll_seconds=options.file_system_poll_wait_seconds,
        allow_new_labels=options.allow_version_labels_for_unavailable_models,
        allow_any_labels=options.force_allow_any_version_labels_for_unavailable_models,
    )


def request_log_options(options: ServerOptions) -> RequestLogOptions:
    """Where request logs are written, and how many are kept."""
    return RequestLogOptions(
        directory=options.request_log_dir,
        keep_seconds=options.request_log_keep_days * 86_400,
        keep_bytes=options.request_log_keep_bytes,
    )


def rest_options(options: ServerOptions) -> RestOptions:
    """How REST requests are answered.

    Raises:
        ConfigError: the monitoring config cannot be read, or is invalid.
    """
    monitoring = options.monitoring_config_file
    return RestOptions(
        timeout_seconds=max(0, options.rest_api_timeout_in_ms) / 1000 or None,
        max_body_bytes=options.max_request_bytes,
        drain_seconds=options.drain_seconds,
        metrics_path=read_metrics_path(monitoring) if monitoring else None,
        enable_cors=options.rest_api_enable_cors_support,
    )
