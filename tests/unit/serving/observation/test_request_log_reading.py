import tensorflow as tf
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from prodml.serving.observation.request_log_reading import RequestLogFiles


def _write(path, *models: str) -> None:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for model in models:
            log = PredictionLog()
            log.log_metadata.model_spec.name = model
            writer.write(log.SerializeToString())


def _models(files: RequestLogFiles) -> list[str]:
    return [log.log_metadata.model_spec.name for log in files]


def test_records_are_read_in_time_order_and_partial_files_are_skipped(tmp_path):
    _write(tmp_path / "log-20260102T000000.000000Z-000002.tfrecord", "c")
    _write(tmp_path / "log-20260101T000000.000000Z-000001.tfrecord", "a", "b")
    _write(tmp_path / ".log-20260103T000000.000000Z-000003.tfrecord.partial", "d")
    _write(tmp_path / "log-other-20260101T000000.000000Z-000001.tfrecord", "e")
    files = RequestLogFiles(str(tmp_path / "log"))
    assert _models(files) == ["a", "b", "c"]
    assert files.damaged == {}


def test_damage_is_reported_and_intact_records_are_read(tmp_path):
    first = tmp_path / "log-20260101T000000.000000Z-000001.tfrecord"
    second = tmp_path / "log-20260102T000000.000000Z-000002.tfrecord"
    _write(first, "a", "b")
    _write(second, "c")
    size = first.stat().st_size
    with open(first, "r+b") as file:
        file.truncate(size - 3)
    with tf.io.TFRecordWriter(str(tmp_path / "log-20260103T000000.000000Z-000003.tfrecord")) as bad:
        bad.write(b"\xff")
    files = RequestLogFiles(str(tmp_path / "log"))
    assert _models(files) == ["a", "c"]
    assert list(files.damaged.values()) == [
        f"truncated record at {size // 2}",
        "record 0 is not a PredictionLog",
    ]
