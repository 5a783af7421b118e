from __future__ import annotations

import numpy as np
import pytest
from tensorflow_serving.apis import predict_pb2

from prodml.serving.calls.inference import Answer
from prodml.serving.calls.responses import predict_response
from prodml.serving.grpc_api.large_responses import write_predict_response


@pytest.mark.parametrize("as_content", [False, True])
@pytest.mark.parametrize(
    "output",
    [
        np.arange(20_000, dtype=np.float32).reshape(100, 200),
        np.arange(20_000, dtype=np.float64)[::2],
        np.arange(-10_000, 10_000),
        np.arange(20_000).astype(np.uint8),
        np.arange(20_000).astype(np.float16),
        np.arange(20_000) % 3 == 0,
        (np.arange(20_000) * 1j).astype(np.complex64),
        np.array([b"a" * (number % 50) for number in range(20_000)], object),
        np.float32(3.0).reshape(()),
        np.zeros((0, 3), np.int64),
    ],
    ids=lambda output: f"{output.dtype}-{output.size}",
)
def test_a_large_answer_reads_as_a_small_one(output, as_content):
    answer = Answer("m", 3, "serving_default", {"y": output, "z": np.ones(1, np.float32)})
    message = write_predict_response(answer, as_content=as_content)
    assert predict_pb2.PredictResponse.FromString(message) == predict_response(
        answer, as_content=as_content
    )
