from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from prodml.errors import ServingError
from prodml.serving.rest_api.rest_bodies import unpack


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=3), st.integers(1, 7))
def test_compressed_bodies_are_decompressed_whatever_their_parts(contents, size):
    packed = b"".join(map(gzip.compress, contents))
    parts = [packed[start : start + size] for start in range(0, len(packed), size)]
    assert b"".join(unpack(parts, 1000)) == b"".join(contents)


def test_zlib_is_decompressed_too():
    assert b"".join(unpack([zlib.compress(b"[1]")], 10)) == b"[1]"


def test_decompression_of_a_bomb_stops_at_the_limit():
    bomb = gzip.compress(b"1," * 50_000_000, mtime=0)
    tracemalloc.start()
    with pytest.raises(web.HTTPRequestEntityTooLarge):
        unpack([bomb], 1_000_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4_000_000


def test_a_body_with_too_many_gzip_files_is_rejected():
    with pytest.raises(ServingError, match="more than 10000 concatenated gzip files") as caught:
        unpack([gzip.compress(b"") * 10_001], 1000)
    assert caught.value.code == "INVALID_ARGUMENT"


@pytest.mark.parametrize("body", [b"no gzip", gzip.compress(b"[1]", mtime=0)[:-3], b"\x1f\x8b"])
def test_an_invalid_or_truncated_body_is_rejected(body):
    with pytest.raises(ServingError, match="cannot decompress the body"):
        unpack([body], 1000)
