"""Follows --model_config_file while the server runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from tensorflow_serving.config import model_server_config_pb2

from prodml.errors import ConfigError, ServingError
from prodml.serving.configuration.text_protos import ModelServerConfig, read_text_proto

log = logging.getLogger(__name__)


async def follow_config_file(
    path: str,
    applied: model_server_config_pb2.ModelServerConfig,
    configure: Callable[[model_server_config_pb2.ModelServerConfig], Awaitable[None]],
    *,
    poll_seconds: float,
    retry_seconds: float,
) -> None:
    """Configures the server whenever the file changes. A wrong file is logged, and changes nothing.

    Args:
        path: the file.
        applied: what it said at the start.
        configure: raises ServingError to refuse a config.
        poll_seconds: pause between looks at the file.
        retry_seconds: pause before a config whose models failed to load is tried once more. Other
            refusals, such as a label whose version is not there yet, cost nothing to retry.
    """
    clock = asyncio.get_running_loop().time
    reported, failed, retry_at = "", None, 0.0
    while True:
        await asyncio.sleep(poll_seconds)
        try:
            config = await asyncio.to_thread(read_text_proto, path, ModelServerConfig)
        except ConfigError as error:
            reported = _report(path, error, reported)
            continue
        if config == applied or (config == failed and clock() < retry_at):
            continue
        try:
            await configure(config)
        except ServingError as error:
            reported = _report(path, error, reported)
            if error.code == "UNKNOWN":
                failed, retry_at = config, clock() + retry_seconds
        else:
            applied, reported = config, ""
            log.info("Serving the models of %s as it is now", path)


def _report(path: str, error: Exception, reported: str) -> str:
    if str(error) != reported:
        log.error("%s is not followed: %s", path, error)
    return str(error)
