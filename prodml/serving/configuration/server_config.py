"""Checks the models that a server's config lists."""

from __future__ import annotations

from tensorflow_serving.config import model_server_config_pb2

from prodml.errors import ServingError


def checked_configs(
    config: model_server_config_pb2.ModelServerConfig,
) -> dict[str, model_server_config_pb2.ModelConfig]:
    """Checks a config and returns its models by name.

    Raises:
        ServingError: a model is listed twice, its base path is relative or a URL, or its platform
            is not TensorFlow.
    """
    if config.WhichOneof("config") == "custom_model_config":
        raise ServingError("INVALID_ARGUMENT", "custom model config is not supported")
    configs: dict[str, model_server_config_pb2.ModelConfig] = {}
    for model in config.model_config_list.config:
        if model.name in configs:
            raise ServingError(
                "INVALID_ARGUMENT",
                f"Illegal to list model {model.name} multiple times in config list",
            )
        if not model.name:
            raise ServingError("INVALID_ARGUMENT", "a model in the config list has no name")
        if "://" in model.base_path:
            raise ServingError(
                "INVALID_ARGUMENT",
                f"{model.base_path} is not a directory of this machine, as the base path of model "
                f"{model.name} must be; copy the versions to one, or mount it",
            )
        if not model.base_path.startswith("/"):
            raise ServingError(
                "INVALID_ARGUMENT",
                f"Expected model {model.name} to have an absolute path or URI; got "
                f"base_path()={model.base_path}",
            )
        _check_platform(model)
        configs[model.name] = model
    return configs


def _check_platform(model: model_server_config_pb2.ModelConfig) -> None:
    if model.model_type and model.model_platform:
        raise ServingError(
            "INVALID_ARGUMENT",
            "Illegal setting both ModelServerConfig::model_type (deprecated) and "
            "ModelServerConfig::model_platform.",
        )
    if model.model_type not in (
        model_server_config_pb2.MODEL_TYPE_UNSPECIFIED,
        model_server_config_pb2.TENSORFLOW,
    ):
        raise ServingError(
            "INVALID_ARGUMENT",
            f"ModelServerConfig::model_type choice {model.model_type} not supported.",
        )
    if not model.model_platform and not model.model_type:
        raise ServingError(
            "INVALID_ARGUMENT",
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            "ModelServerConfig::model_platform.",
        )
    if model.model_platform not in ("", "tensorflow"):
        raise ServingError(
            "INVALID_ARGUMENT",
            f"Model {model.name} requests unsupported platform {model.model_platform}",
        )
