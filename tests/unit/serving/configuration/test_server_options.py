"""Names, defaults and checks of TF Serving's options (its `main.cc` and `server.h`, 2.16)."""

import dataclasses
import os

import pytest

from prodml.errors import ConfigError
from prodml.serving.configuration.server_options import ServerOptions
from prodml.serving.configuration.tf_serving_options import (
    UNSUPPORTED,
    WITHOUT_EFFECT,
    without_foreign_options,
)

CPUS = os.cpu_count()
TF_SERVING = {
    "port": 8500,
    "grpc_socket_path": "",
    "rest_api_port": 0,
    "rest_api_num_threads": 4 * CPUS,
    "rest_api_timeout_in_ms": 30_000,
    "rest_api_enable_cors_support": False,
    "enable_batching": False,
    "allow_version_labels_for_unavailable_models": False,
    "force_allow_any_version_labels_for_unavailable_models": False,
    "batching_parameters_file": "",
    "model_config_file": "",
    "model_config_file_poll_wait_seconds": 0,
    "model_name": "default",
    "model_base_path": "",
    "num_load_threads": 0,
    "num_unload_threads": 0,
    "max_num_load_retries": 5,
    "load_retry_interval_micros": 60_000_000,
    "file_system_poll_wait_seconds": 1,
    "flush_filesystem_caches": True,
    "tensorflow_session_parallelism": 0,
    "tensorflow_intra_op_parallelism": 0,
    "tensorflow_inter_op_parallelism": 0,
    "ssl_config_file": "",
    "per_process_gpu_memory_fraction": 0.0,
    "saved_model_tags": "serve",
    "grpc_channel_arguments": "",
    "grpc_max_threads": 4 * CPUS,
    "enable_model_warmup": True,
    "num_request_iterations_for_warmup": 0,
    "monitoring_config_file": "",
    "prefer_tflite_model": False,
    "num_tflite_pools": CPUS,
    "num_tflite_interpreters_per_pool": 1,
    "enable_signature_method_name_check": False,
    "enable_grpc_healthcheck_service": False,
    "enable_serialization_as_tensor_content": False,
}
DIFFERENT = {"enable_grpc_healthcheck_service": True, "num_request_iterations_for_warmup": 1}
OWN = {
    "host",
    "max_request_bytes",
    "max_inflight_bytes",
    "max_waiting_requests",
    "drain_seconds",
    "request_log_dir",
    "request_log_sampling_rate",
    "request_log_keep_days",
    "request_log_keep_bytes",
    "model_roots",
}


def test_the_options_are_tf_servings_with_its_defaults():
    options = {each.name: each.default for each in dataclasses.fields(ServerOptions)}
    assert {name: options[name] for name in options.keys() - OWN} == TF_SERVING | DIFFERENT


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model_base_path": ""}, "there is no model to serve"),
        ({"rest_api_port": 8500}, "--rest_api_port cannot be same as --port"),
        ({"port": 0}, "--port is 0 and there is no --grpc_socket_path"),
        ({"batching_parameters_file": "x"}, "--batching_parameters_file needs --enable_batching"),
        (
            {
                "tensorflow_session_parallelism": 2,
                "tensorflow_intra_op_parallelism": 1,
                "tensorflow_inter_op_parallelism": 1,
            },
            "not all three",
        ),
    ],
)
def test_options_that_tf_serving_refuses_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        ServerOptions(**{"model_base_path": "/models/flights", **values}).check()


def test_a_socket_needs_no_port():
    ServerOptions(model_base_path="/m", port=0, grpc_socket_path="/run/grpc.sock").check()


def test_options_without_effect_are_removed_with_a_warning(caplog):
    foreign = [f"--{name}=false" for name in WITHOUT_EFFECT]
    assert without_foreign_options(["--port=1", *foreign, "--skip_initialize_tpu", "x"]) == [
        "--port=1",
        "x",
    ]
    assert "--enable_profiler has no effect: there is no profiler service" in caplog.text


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_unsupported_options_are_rejected_unless_disabled(name):
    assert without_foreign_options([f"--{name}=false", f"--{name}="]) == []
    for argument in (f"--{name}", f"--{name}=true"):
        with pytest.raises(ConfigError, match=f"--{name} is not supported; "):
            without_foreign_options([argument])
