"""The tf.Examples of classify and regress requests."""

from __future__ import annotations

import orjson
import pytest
import tensorflow as tf

from prodml.errors import ServingError
from prodml.serving.rest_api.json_example_requests import read_examples_body


@pytest.mark.parametrize("other", [b"1", b"NaN"])
def test_a_whole_number_of_more_than_64_bits_is_a_float_feature(other):
    body = b'{"examples": [{"x": 100000000000000000000, "y": ' + other + b"}]}"
    (example,) = read_examples_body(body, tf.train.Example).examples
    assert list(example.features.feature["x"].float_list.value) == [pytest.approx(1e20)]


def test_a_context_that_is_repeated_for_too_many_examples_is_rejected():
    body = {"context": {"a": "a" * 100_000}, "examples": [{}] * 1_000}
    asked = read_examples_body(orjson.dumps(body), tf.train.Example)
    with pytest.raises(ServingError, match="repeated for 1000 examples") as caught:
        asked.serialized()
    assert caught.value.code == "INVALID_ARGUMENT"
