"""Reads and decompresses bodies of REST requests within limits."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from aiohttp import web

from prodml.errors import ServingError
from prodml.serving.calls.admission import Admitted, Arriving
from prodml.serving.calls.execution import run_in_thread

_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
_PIECE = 1 << 18
"""Maximum bytes that are decompressed in one step."""
_MOST_FILES = 10_000
"""Maximum number of gzip files in a body: zlib copies the rest of the body after each file, which
takes half a minute for 64 MB of empty files."""


async def receive_body(request: web.Request, arriving: Arriving, limit: int) -> list[bytes]:
    """Receives the parts of a request's body as they were sent.

    Args:
        request: the request; its body is not read yet.
        arriving: counts the bytes; checked before they arrive if the request has a content length.
        limit: maximum bytes of the body.

    Raises:
        ServingError: the content encoding is not supported, or too many bytes are arriving already.
        aiohttp.web.HTTPRequestEntityTooLarge: the body has more than `limit` bytes.
    """
    encoding = _encoding(request)
    if encoding not in ("identity", "gzip", "deflate"):
        raise ServingError(
            "INVALID_ARGUMENT", f"Content-Encoding {encoding!r} is not supported; use gzip"
        )
    announced = request.content_length or 0
    if announced > limit:
        raise web.HTTPRequestEntityTooLarge(limit, announced)
    arriving.expect(announced)
    parts: list[bytes] = []
    size = 0
    async for part in request.content.iter_any():
        size += len(part)
        if size > limit:
            raise web.HTTPRequestEntityTooLarge(limit, size)
        arriving.hold(size)
        parts.append(part)
    return parts


async def unpack_body(
    request: web.Request,
    parts: list[bytes],
    admitted: Admitted,
    limit: int,
    pool: ThreadPoolExecutor,
) -> list[bytes]:
    """Decompresses a received body in a thread of the pool, and counts its bytes.

    Raises:
        ServingError: the compressed data is invalid, or the server holds too many bytes.
        aiohttp.web.HTTPRequestEntityTooLarge: the decompressed body has more than `limit` bytes.
    """
    admitted.hold(sum(map(len, parts)))
    if _encoding(request) == "identity" or not parts:
        return parts
    unpacked = await run_in_thread(pool, lambda: unpack(parts, limit))
    admitted.hold(sum(map(len, unpacked)))
    return unpacked


def _encoding(request: web.Request) -> str:
    return request.headers.get("Content-Encoding", "identity").lower()


def unpack(parts: Sequence[bytes], limit: int) -> list[bytes]:
    """Decompresses gzip or zlib data, in parts.

    Raises:
        ServingError: the data is invalid or truncated, or has thousands of gzip files.
        aiohttp.web.HTTPRequestEntityTooLarge: the result is larger than `limit` bytes;
            decompression stops there.
    """
    unpacked: list[bytes] = []
    size, files = 0, 1
    decompressor = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        for part in parts:
            left = part
            while left:
                if decompressor.eof:
                    # A body may consist of several gzip files.
                    files += 1
                    if files > _MOST_FILES:
                        raise ServingError(
                            "INVALID_ARGUMENT",
                            f"the body has more than {_MOST_FILES} concatenated gzip files",
                        )
                    decompressor = zlib.decompressobj(_GZIP_OR_ZLIB)
                piece = decompressor.decompress(left, _PIECE)
                size += len(piece)
                if size > limit:
                    raise web.HTTPRequestEntityTooLarge(limit, size)
                unpacked.append(piece)
                left = decompressor.unconsumed_tail or decompressor.unused_data
        unpacked.append(decompressor.flush())
    except zlib.error as error:
        raise ServingError("INVALID_ARGUMENT", f"cannot decompress the body: {error}") from None
    if not decompressor.eof:
        raise ServingError("INVALID_ARGUMENT", "cannot decompress the body: it is truncated")
    return unpacked
