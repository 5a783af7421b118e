from __future__ import annotations

import socket
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from prodml.serving.rest_api.json_frames import (
    pack_arrays,
    receive_frame,
    send_frame,
    unpack_arrays,
)
from prodml.serving.values.data_types import string_array

numbers = st.sampled_from([np.float32, np.float64, np.int64, np.uint8, np.bool_]).flatmap(
    lambda dtype: st_numpy.arrays(dtype, st_numpy.array_shapes(min_dims=0, min_side=0))
)
strings = st.lists(st.binary(), max_size=4).map(string_array)


@given(st.dictionaries(st.text(max_size=3), numbers | strings, max_size=3))
def test_arrays_arrive_as_they_were_sent(arrays):
    heads, buffers = pack_arrays(arrays)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sending = threading.Thread(target=send_frame, args=(ours, {"arrays": heads}, buffers))
        sending.start()
        head, received = receive_frame(theirs)
        sending.join()
    found = unpack_arrays(head["arrays"], received)
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_a_closed_connection_is_an_eof_error():
    ours, theirs = socket.socketpair()
    ours.sendall(b"\0\0")
    ours.close()
    with theirs, pytest.raises(EOFError):
        receive_frame(theirs)
