"""Sends the answers of REST requests: compressed on request, large ones in parts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiohttp import web

_WORTH_COMPRESSING = 1024
_PART = 1 << 18
"""Maximum bytes of an answer that are written in one step."""
_EMPTY = memoryview(b"")


def accepts_gzip(request: web.Request) -> bool:
    """Whether the client accepts answers that are compressed by gzip."""
    return "gzip" in request.headers.get("Accept-Encoding", "")


async def send_json(
    request: web.Request,
    body: str | memoryview,
    timeout_seconds: float | None,
    *,
    status: int = 200,
    headers: Mapping[str, str],
) -> web.StreamResponse:
    """Sends an answer in JSON.

    Args:
        body: the text, or its bytes if they are many; these are compressed already if the client
            accepts gzip.
        timeout_seconds: time limit; None for no limit.
    """
    if isinstance(body, str):
        return await send(request, _response(status, body, request, headers), timeout_seconds)
    large = web.StreamResponse(headers=headers)
    large.headers["Content-Type"] = "application/json"
    if accepts_gzip(request):
        large.headers["Content-Encoding"] = "gzip"
    large.content_length = len(body)
    return await send(request, large, timeout_seconds, body)


async def send(
    request: web.Request,
    response: web.StreamResponse,
    timeout_seconds: float | None,
    body: memoryview = _EMPTY,
) -> web.StreamResponse:
    """Sends an answer; writes a large body in parts, because each write copies its bytes."""
    last = (max(len(body), 1) - 1) // _PART * _PART
    try:
        async with asyncio.timeout(timeout_seconds):
            await response.prepare(request)
            for start in range(0, last, _PART):
                await response.write(body[start : start + _PART])
            # `write_eof` waits until the client reads; `write` waits for large parts only.
            await response.write_eof(bytes(body[last:]))
    except TimeoutError:
        # The client does not read its answer.
        if request.transport is not None:
            # `close` would wait for the client to read the buffered data.
            request.transport.abort()
    except ConnectionError:
        pass  # The client has disconnected; aiohttp would log a traceback.
    return response


def _response(
    status: int, body: str, request: web.Request, headers: Mapping[str, str]
) -> web.Response:
    response = web.Response(status=status, body=body.encode(), headers=headers)
    # Without a charset, as in TF Serving; aiohttp would add one.
    response.headers["Content-Type"] = "application/json"
    if len(body) >= _WORTH_COMPRESSING and accepts_gzip(request):
        response.enable_compression(web.ContentCoding.gzip)
    return response
