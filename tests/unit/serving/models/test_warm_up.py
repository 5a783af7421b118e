import pytest
import tensorflow as tf
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from prodml.errors import ServingError
from prodml.serving.models.warm_up import (
    WARM_UP_FILE,
    read_warm_up_requests,
    write_warm_up_requests,
)


def _predict(model: str = "flights") -> PredictionLog:
    log = PredictionLog()
    log.predict_log.request.model_spec.name = model
    return log


def test_a_version_without_the_file_has_no_warm_up(tmp_path):
    assert read_warm_up_requests(str(tmp_path)) == []


def test_what_was_written_is_read_by_prodml_and_by_tensorflow(tmp_path):
    logs = [PredictionLog() for _ in range(4)]
    logs[0].predict_log.request.model_spec.name = "a"
    logs[1].classify_log.request.model_spec.name = "b"
    logs[2].regress_log.request.model_spec.name = "c"
    logs[3].multi_inference_log.request.tasks.add().model_spec.name = "d"
    write_warm_up_requests(str(tmp_path), logs)
    assert read_warm_up_requests(str(tmp_path)) == logs
    records = tf.data.TFRecordDataset(str(tmp_path / WARM_UP_FILE)).as_numpy_iterator()
    assert [PredictionLog.FromString(record) for record in records] == logs


def test_what_tensorflow_wrote_is_read(tmp_path):
    (tmp_path / "assets.extra").mkdir()
    with tf.io.TFRecordWriter(str(tmp_path / WARM_UP_FILE)) as writer:
        for model in "ab":
            writer.write(_predict(model).SerializeToString())
    assert read_warm_up_requests(str(tmp_path)) == [_predict("a"), _predict("b")]


def test_writing_replaces_and_leaves_nothing_else(tmp_path):
    write_warm_up_requests(str(tmp_path), [_predict("a"), _predict("b")])
    write_warm_up_requests(str(tmp_path), [_predict("c")])
    assert read_warm_up_requests(str(tmp_path)) == [_predict("c")]
    assert [file.name for file in (tmp_path / "assets.extra").iterdir()] == [
        "tf_serving_warmup_requests"
    ]


def test_a_thousand_requests_are_the_limit(tmp_path):
    write_warm_up_requests(str(tmp_path), [_predict()] * 1_000)
    assert len(read_warm_up_requests(str(tmp_path))) == 1_000
    with open(tmp_path / WARM_UP_FILE, "rb") as file:
        content = file.read()
    (tmp_path / WARM_UP_FILE).write_bytes(content + content[: len(content) // 1_000])
    with pytest.raises(ServingError, match="exceeds the maximum \\(1000\\) at ") as caught:
        read_warm_up_requests(str(tmp_path))
    assert caught.value.code == "INVALID_ARGUMENT"
    with pytest.raises(ValueError, match="1001 warm-up requests"):
        write_warm_up_requests(str(tmp_path), [_predict()] * 1_001)


@pytest.mark.parametrize(("kind", "number"), [("session_run_log", 5), ("predict_streamed_log", 7)])
def test_requests_of_unsupported_kinds_are_rejected(tmp_path, kind, number):
    log = PredictionLog()
    getattr(log, kind).SetInParent()
    write_warm_up_requests(str(tmp_path), [log])
    with pytest.raises(
        ServingError, match=f"^Unsupported log_type for warmup: {number}$"
    ) as caught:
        read_warm_up_requests(str(tmp_path))
    assert caught.value.code == "UNIMPLEMENTED"


def test_a_record_that_is_no_prediction_log_is_refused(tmp_path):
    (tmp_path / "assets.extra").mkdir()
    with tf.io.TFRecordWriter(str(tmp_path / WARM_UP_FILE)) as writer:
        writer.write(b"\xff\xff\xff")
    with pytest.raises(ServingError, match="^Failed to parse warmup record: ") as caught:
        read_warm_up_requests(str(tmp_path))
    assert caught.value.code == "INVALID_ARGUMENT"


@pytest.mark.parametrize("cut", [3, 12, 14, 20])
def test_a_cut_file_is_lost_data(tmp_path, cut):
    write_warm_up_requests(str(tmp_path), [_predict()])
    content = (tmp_path / WARM_UP_FILE).read_bytes()
    (tmp_path / WARM_UP_FILE).write_bytes(content + content[:cut])
    with pytest.raises(
        ServingError,
        match=f"^truncated record at {len(content)}. Please verify your warmup data is in TFRecord",
    ) as caught:
        read_warm_up_requests(str(tmp_path))
    assert caught.value.code == "DATA_LOSS"


@pytest.mark.parametrize("place", [0, 8, 13, -1])
def test_an_altered_byte_is_lost_data(tmp_path, place):
    write_warm_up_requests(str(tmp_path), [_predict()])
    content = bytearray((tmp_path / WARM_UP_FILE).read_bytes())
    content[place] ^= 1
    (tmp_path / WARM_UP_FILE).write_bytes(content)
    with pytest.raises(ServingError, match="^corrupted record at 0. Please verify") as caught:
        read_warm_up_requests(str(tmp_path))
    assert caught.value.code == "DATA_LOSS"
