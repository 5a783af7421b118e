"""The models that a server's options name."""

from __future__ import annotations

import os

from prodml.serving.configuration.server_options import ServerOptions
from prodml.serving.configuration.text_protos import ModelServerConfig, read_text_proto


def initial_config(options: ServerOptions) -> ModelServerConfig:
    """The config with which a server starts: from a file, or with the one model of the options.

    Raises:
        ConfigError: the file cannot be read, or is invalid.
    """
    if options.model_config_file:
        return read_text_proto(options.model_config_file, ModelServerConfig)
    config = ModelServerConfig()
    base_path = options.model_base_path
    model = config.model_config_list.config.add(
        name=options.model_name,
        # A URL is kept as it is: the check of the config rejects it.
        base_path=base_path if "://" in base_path else os.path.abspath(base_path),
        model_platform="tensorflow",
    )
    if options.request_log_dir:
        logging_config = model.logging_config
        logging_config.log_collector_config.filename_prefix = options.model_name
        logging_config.sampling_config.sampling_rate = options.request_log_sampling_rate
    return config
