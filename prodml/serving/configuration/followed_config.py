"""Reloads --model_config_file when it changes while the server runs."""

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
    """Reconfigures the server whenever the file changes. An invalid file is logged and ignored.

    Args:
        path: the config file.
        applied: the config that the server serves at the start.
        configure: applies a config; raises ServingError if it rejects the config.
        poll_seconds: pause between reads of the file.
        retry_seconds: pause before a config whose models failed to load is retried. A config that
            was rejected for another reason, such as a label for a version that is not available
            yet, is retried at every poll, because that is cheap.
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
            log.info("Reloaded %s", path)


def _report(path: str, error: Exception, reported: str) -> str:
    if str(error) != reported:
        log.error("Cannot reload %s; the previous config stays in effect: %s", path, error)
    return str(error)
