"""Bodies of REST requests: read and unpacked within bounds."""

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
"""Bytes that are unpacked at once."""
_MOST_FILES = 10_000
"""In a body: what is behind each is copied, which takes half a minute for 64 MB of empty ones."""


async def receive_body(request: web.Request, arriving: Arriving, limit: int) -> list[bytes]:
    """The parts of a request's body, as they were sent.

    Args:
        request: its body is not read yet.
        arriving: where bytes are counted; checked before they come if the request says how many.
        limit: bytes that the body may have.

    Raises:
        ServingError: it is packed in a way that is unknown, or too many bytes arrive already.
        aiohttp.web.HTTPRequestEntityTooLarge: it has more bytes than it may.
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
    place: Admitted,
    limit: int,
    pool: ThreadPoolExecutor,
) -> list[bytes]:
    """The parts of a body that has arrived, unpacked in a thread of the pool, and counted.

    Raises:
        ServingError: it is packed in a way that is broken, or the server holds too many bytes.
        aiohttp.web.HTTPRequestEntityTooLarge: it has more bytes than `limit` unpacked.
    """
    place.hold(sum(map(len, parts)))
    if _encoding(request) == "identity" or not parts:
        return parts
    unpacked = await run_in_thread(pool, lambda: unpack(parts, limit))
    place.hold(sum(map(len, unpacked)))
    return unpacked


def _encoding(request: web.Request) -> str:
    return request.headers.get("Content-Encoding", "identity").lower()


def unpack(parts: Sequence[bytes], limit: int) -> list[bytes]:
    """What gzip or zlib packed, in parts.

    Raises:
        ServingError: it is broken, ends early or has thousands of files.
        aiohttp.web.HTTPRequestEntityTooLarge: it is more than `limit` bytes; no more than that are
            ever held.
    """
    unpacked: list[bytes] = []
    size, files = 0, 1
    decompressor = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        for part in parts:
            left = part
            while left:
                if decompressor.eof:
                    # gzip files may stand one behind the other.
                    files += 1
                    if files > _MOST_FILES:
                        raise ServingError(
                            "INVALID_ARGUMENT",
                            f"the body has more than {_MOST_FILES} gzip files one behind the other",
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
        raise ServingError("INVALID_ARGUMENT", f"the body cannot be unpacked: {error}") from None
    if not decompressor.eof:
        raise ServingError("INVALID_ARGUMENT", "the body cannot be unpacked: it ends early")
    return unpacked
