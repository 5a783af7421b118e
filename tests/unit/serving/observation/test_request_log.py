import collections
import logging
import os
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog
from tensorflow_serving.config.logging_config_pb2 import LoggingConfig

from prodml.errors import ServingError
from prodml.serving.configuration.server_options import ServerOptions
from prodml.serving.observation.metrics import ServerMetrics
from prodml.serving.observation.request_log import RequestLog
from prodml.serving.observation.request_log_reading import RequestLogFiles
from prodml.serving.part_options import request_log_options


def _config(prefix, rate: float = 1.0, kind: str = "") -> LoggingConfig:
    config = LoggingConfig()
    config.log_collector_config.type = kind
    config.log_collector_config.filename_prefix = str(prefix)
    config.sampling_config.sampling_rate = rate
    return config


def _request_log(metrics: ServerMetrics, directory: Path, **options: float) -> RequestLog:
    defaults = request_log_options(ServerOptions(request_log_dir=str(directory)))
    return RequestLog(metrics, replace(defaults, **options))


def _log(number: int, padding: int = 0) -> PredictionLog:
    log = PredictionLog()
    log.predict_log.request.inputs["x"].int64_val.append(number)
    log.predict_log.request.inputs["padding"].string_val.append(b"x" * padding)
    log.predict_log.response.model_spec.name = "flights"
    log.predict_log.response.model_spec.version.value = 7
    log.predict_log.response.model_spec.signature_name = "serving_default"
    return log


def _offer(log: RequestLog, *numbers: int, padding: int = 0) -> None:
    for number in numbers:
        log.offer("flights", lambda number=number: _log(number, padding))


def _numbers(prefix) -> list[int]:
    files = RequestLogFiles(str(prefix))
    numbers = [log.predict_log.request.inputs["x"].int64_val[0] for log in files]
    assert files.damaged == {}
    return numbers


def _counts(metrics: ServerMetrics) -> dict[str, int]:
    counts = collections.Counter()
    for status, count in re.findall(
        r'^:tensorflow:serving:request_log_count{model_name="\w+",status_code="(\w+)"} (\d+)$',
        metrics.exposition().decode(),
        re.M,
    ):
        counts[status] += int(count)
    return counts


def _wait_for(condition) -> None:
    ends = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.002)


def test_every_request_is_in_a_file_that_tensorflow_reads(tmp_path):
    metrics = ServerMetrics()
    log = _request_log(metrics, tmp_path)
    log.configure({"flights": _config(tmp_path / "log")})
    _offer(log, *range(100))
    log.close()
    (file,) = tmp_path.iterdir()
    assert re.fullmatch(r"log-\d{8}T\d{6}\.\d{6}Z-000001\.tfrecord", file.name)
    records = tf.data.TFRecordDataset(str(file)).as_numpy_iterator()
    logs = [PredictionLog.FromString(record) for record in records]
    assert [each.predict_log.request.inputs["x"].int64_val[0] for each in logs] == [*range(100)]
    assert _counts(metrics) == {"OK": 100}


def test_a_record_has_the_version_the_time_and_the_sampling_config(tmp_path):
    log = _request_log(ServerMetrics(), tmp_path)
    config = _config(tmp_path / "log", kind="tfrecord")
    log.configure({"flights": config})
    before = int(time.time())
    _offer(log, 1)
    log.close()
    (record,) = RequestLogFiles(str(tmp_path / "log"))
    metadata = record.log_metadata
    assert metadata.model_spec == record.predict_log.response.model_spec
    assert metadata.sampling_config == config.sampling_config
    assert before <= metadata.timestamp_secs <= time.time()


def test_records_are_created_for_sampled_requests_only(tmp_path):
    metrics = ServerMetrics()
    log = _request_log(metrics, tmp_path)
    log.configure(
        {
            "flights": _config(tmp_path / "some", rate=0.25),
            "none": _config(tmp_path / "none", rate=0.0),
        }
    )
    made = []
    for number in range(2_000):
        log.offer("flights", lambda number=number: made.append(number) or _log(number))
        log.offer("none", lambda: pytest.fail("not sampled"))
        log.offer("other", lambda: pytest.fail("not configured"))
    log.close()
    assert 380 < len(made) < 620  # a chance of 1e-9
    assert _numbers(tmp_path / "some") == made
    assert _counts(metrics) == {"OK": len(made)}


def test_a_new_configuration_replaces_the_previous_one(tmp_path):
    log = _request_log(ServerMetrics(), tmp_path)
    log.configure({"flights": _config(tmp_path / "a" / "log")})
    _offer(log, 1, 2)
    log.configure({"flights": _config(tmp_path / "b" / "log")})
    _offer(log, 3)
    log.configure({})
    _offer(log, 4)
    log.close()
    assert _numbers(tmp_path / "a" / "log") == [1, 2]
    assert _numbers(tmp_path / "b" / "log") == [3]


@pytest.mark.parametrize(
    ("config", "code", "message"),
    [
        (_config("x", kind="kafka"), "NOT_FOUND", "Cannot find LogCollector::Factory for type: ka"),
        (_config(""), "INVALID_ARGUMENT", "model flights has no filename_prefix"),
        (_config("/var/log/flights"), "PERMISSION_DENIED", "/var/log/flights, is outside of"),
        (_config("../flights"), "PERMISSION_DENIED", "../flights, is outside of"),
        (_config("link/flights"), "PERMISSION_DENIED", "link/flights, is outside of"),
    ],
)
def test_an_invalid_configuration_changes_nothing(tmp_path, config, code, message):
    (tmp_path / "link").symlink_to("/var")
    log = _request_log(ServerMetrics(), tmp_path)
    log.configure({"flights": _config(tmp_path / "log")})
    with pytest.raises(ServingError, match=message) as caught:
        log.configure({"flights": config})
    assert caught.value.code == code
    _offer(log, 1)
    log.close()
    assert _numbers(tmp_path / "log") == [1]


def test_without_a_directory_nothing_is_logged():
    log = RequestLog(ServerMetrics(), request_log_options(ServerOptions()))
    with pytest.raises(ServingError, match="start it with --request_log_dir"):
        log.configure({"flights": _config("log")})
    log.close()


def test_a_relative_prefix_starts_at_the_directory_and_files_are_for_their_owner(tmp_path):
    log = _request_log(ServerMetrics(), tmp_path / "logs")
    log.configure({"flights": _config("flights/log")})
    _offer(log, 1)
    log.close()
    (file,) = (tmp_path / "logs" / "flights").iterdir()
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (file, file.parent, file.parent.parent)]
    assert modes == [0o600, 0o700, 0o700]


def test_the_oldest_files_are_deleted_while_new_ones_are_written(tmp_path):
    log = _request_log(ServerMetrics(), tmp_path, max_file_bytes=1_000, keep_bytes=2_500)
    log.configure({"flights": _config("log")})
    _offer(log, *range(9), padding=1_000)
    log.close()
    log = _request_log(ServerMetrics(), tmp_path, keep_bytes=2_500)
    log.configure({"flights": _config("log")})
    log.close()
    assert _numbers(tmp_path / "log") == [7, 8]


def test_a_full_file_is_followed_by_another(tmp_path):
    log = _request_log(ServerMetrics(), tmp_path, max_file_bytes=2_000)
    log.configure({"flights": _config(tmp_path / "log")})
    _offer(log, *range(20), padding=500)
    log.close()
    assert len(list(tmp_path.iterdir())) >= 4
    assert _numbers(tmp_path / "log") == [*range(20)]


def test_an_old_file_appears_though_no_request_follows(tmp_path):
    log = _request_log(ServerMetrics(), tmp_path, max_file_seconds=0.1)
    log.configure({"flights": _config(tmp_path / "log")})
    _offer(log, 1)
    _wait_for(lambda: _numbers(tmp_path / "log") == [1])
    _offer(log, 2)
    _wait_for(lambda: _numbers(tmp_path / "log") == [1, 2])
    log.close()


def test_a_file_being_written_has_no_final_name(tmp_path):
    metrics = ServerMetrics()
    log = _request_log(metrics, tmp_path)
    log.configure({"flights": _config(tmp_path / "log")})
    _offer(log, 1)
    _wait_for(lambda: _counts(metrics) == {"OK": 1})
    (file,) = tmp_path.iterdir()
    assert file.name.startswith(".log-")
    assert file.name.endswith(".tfrecord.partial")
    assert RequestLogFiles(str(tmp_path / "log")).files == ()
    log.close()
    assert _numbers(tmp_path / "log") == [1]


def test_a_record_that_cannot_be_serialized_is_only_counted(tmp_path):
    metrics = ServerMetrics()
    log = _request_log(metrics, tmp_path)
    log.configure({"flights": _config(tmp_path / "log")})
    log.offer("flights", lambda: 1 / 0)
    _offer(log, 1)
    log.close()
    assert _numbers(tmp_path / "log") == [1]
    assert _counts(metrics) == {"INTERNAL": 1, "OK": 1}


@pytest.mark.parametrize(
    ("limits", "kept"),
    [({"max_queued_records": 3}, 3), ({"max_queued_bytes": 3_500}, 2)],
)
def test_records_for_a_full_queue_are_dropped_with_one_warning(tmp_path, caplog, limits, kept):
    metrics = ServerMetrics()
    log = _request_log(metrics, tmp_path, **limits)
    log.configure({"flights": _config(tmp_path / "log")})
    _offer(log, 0)
    _wait_for(lambda: _counts(metrics) == {"OK": 1})
    _offer(log, *range(1, 10), padding=1_500)
    log.close()
    assert _numbers(tmp_path / "log") == [*range(1 + kept)]
    assert _counts(metrics) == {"OK": 1 + kept, "DROPPED": 9 - kept}
    assert [record.getMessage() for record in caplog.records] == [
        "Request log: the queue is full; 1 records lost since the last warning; requests are not "
        "affected"
    ]


def test_records_offered_after_close_are_dropped(tmp_path):
    metrics = ServerMetrics()
    log = _request_log(metrics, tmp_path)
    log.configure({"flights": _config(tmp_path / "log")})
    log.close()
    _offer(log, 1)
    assert _counts(metrics) == {"DROPPED": 1}


def test_a_removed_directory_causes_one_warning_and_is_created_again(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    directory, metrics = tmp_path / "logs", ServerMetrics()
    log = _request_log(metrics, tmp_path)
    log.configure({"flights": _config(directory / "log")})
    _offer(log, 1, 2)
    _wait_for(lambda: _counts(metrics)["OK"] == 2)
    shutil.rmtree(directory)
    _offer(log, 3, 4)
    _wait_for(lambda: _counts(metrics) == {"OK": 2, "DATA_LOSS": 2, "NOT_FOUND": 2})
    assert len(caplog.records) == 1
    assert "requests are not affected" in caplog.text
    directory.mkdir()
    _wait_for(lambda: _offer(log, 5) or _counts(metrics)["OK"] > 2)
    log.close()
    assert set(_numbers(directory / "log")) == {5}
    assert len(_numbers(directory / "log")) == _counts(metrics)["OK"] - 2


def test_requests_succeed_if_the_directory_cannot_be_created(tmp_path):
    (tmp_path / "file").write_text("")
    metrics = ServerMetrics()
    log = _request_log(metrics, tmp_path)
    log.configure({"flights": _config(tmp_path / "file" / "log")})
    _offer(log, 1, 2)
    log.close()
    assert _counts(metrics) == {"NOT_FOUND": 2}


def test_a_full_disk_leaves_complete_records(tmp_path):
    metrics = ServerMetrics()
    log = _request_log(metrics, tmp_path)
    log.configure({"flights": _config(tmp_path / "log")})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        for number in range(9):
            _offer(log, number, padding=1_500)
            _wait_for(lambda number=number: sum(_counts(metrics).values()) == number + 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    log.close()
    assert _counts(metrics) == {"OK": 6, "RESOURCE_EXHAUSTED": 3}
    assert _numbers(tmp_path / "log") == [*range(6)]
    assert [file.suffix for file in tmp_path.iterdir()] == [".tfrecord"]


def test_the_next_server_recovers_the_files_of_a_killed_one(tmp_path):
    program = """
import collections, os, sys
from prodml.serving.observation.request_log_writer import RequestLogWriter
from prodml.serving.values.tfrecords import framed
writer = RequestLogWriter(sys.argv[1], 1 << 30, 1000)
for record in sys.stdin.buffer:
    writer.write(collections.Counter(["flights"]), framed(bytes.fromhex(record.decode())))
writer._file and os.write(writer._file.descriptor, b"cut off")
print("written", flush=True)
os.kill(os.getpid(), 9)
"""
    prefix = tmp_path / "log"
    text = "".join(_log(number).SerializeToString().hex() + "\n" for number in range(5))
    for records in (text, ""):
        ended = subprocess.run(
            [sys.executable, "-c", program, str(prefix)],
            input=records,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, "written\n")
    (tmp_path / ".log-20260101T000000.000000Z-000001.tfrecord.partial").write_bytes(b"cut off")
    log = _request_log(ServerMetrics(), tmp_path)
    log.configure({"flights": _config(prefix)})
    _offer(log, 5)
    log.close()
    assert _numbers(prefix) == [0, 1, 2, 3, 4, 5]
    assert [file.suffix for file in tmp_path.iterdir()] == [".tfrecord"] * 2


def test_the_file_of_a_running_server_is_not_recovered(tmp_path):
    metrics = ServerMetrics()
    one, other = _request_log(metrics, tmp_path), _request_log(ServerMetrics(), tmp_path)
    one.configure({"flights": _config(tmp_path / "log")})
    _offer(one, 1)
    _wait_for(lambda: _counts(metrics) == {"OK": 1})
    other.configure({"flights": _config(tmp_path / "log")})
    _offer(other, 2)
    other.close()
    assert _numbers(tmp_path / "log") == [2]
    _offer(one, 3)
    one.close()
    assert sorted(_numbers(tmp_path / "log")) == [1, 2, 3]


def test_an_offer_takes_microseconds(tmp_path):
    metrics = ServerMetrics()
    log = _request_log(metrics, tmp_path)
    log.configure({"flights": _config(tmp_path / "log", rate=0.01)})
    made = _log(1, padding=1_000)
    started = time.perf_counter()
    for _ in range(10_000):
        log.offer("flights", lambda: made)
    seconds = time.perf_counter() - started
    log.close()
    assert seconds / 10_000 < 50e-6  # 1 on an idle core


def test_close_does_not_wait_for_a_disk_that_hangs(tmp_path):
    # Reading a named pipe hangs, as a dead network disk does.
    metrics = ServerMetrics()
    log = _request_log(metrics, tmp_path)
    pipe = tmp_path / ".log-20260101T000000.000000Z-000001.tfrecord.partial"
    os.mkfifo(pipe)
    writer = os.open(pipe, os.O_RDWR)
    try:
        log.configure({"flights": _config(tmp_path / "log")})
        _offer(log, 1, 2)
        started = time.monotonic()
        log.close(timeout_seconds=0.2)
        assert time.monotonic() - started < 5
        assert _counts(metrics) == {"DROPPED": 2}
    finally:
        os.write(writer, bytes(12))
        _wait_for(lambda: "request-log" not in [thread.name for thread in threading.enumerate()])
        os.close(writer)
    assert _counts(metrics) == {"DROPPED": 2}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    sizes=st.lists(st.integers(0, 3_000), min_size=1, max_size=60),
    max_file_bytes=st.integers(1, 5_000),
    max_queued_records=st.integers(1, 20),
    max_queued_bytes=st.integers(500, 20_000),
    removals=st.sets(st.integers(0, 59), max_size=3),
)
def test_every_record_is_counted_as_lost_or_is_in_the_files_in_order(
    tmp_path_factory, sizes, max_file_bytes, max_queued_records, max_queued_bytes, removals
):
    directory, metrics = tmp_path_factory.mktemp("log"), ServerMetrics()
    log = _request_log(
        metrics,
        directory,
        max_file_bytes=max_file_bytes,
        max_queued_records=max_queued_records,
        max_queued_bytes=max_queued_bytes,
    )
    log.configure({"flights": _config(directory / "log")})
    for number, size in enumerate(sizes):
        _offer(log, number, padding=size)
        if number in removals:
            for partial in directory.glob(".log-*"):
                partial.unlink(missing_ok=True)
    log.close()
    counts, found = _counts(metrics), _numbers(directory / "log")
    # Records that are counted as DATA_LOSS were counted as written before.
    assert len(found) == counts["OK"] - counts["DATA_LOSS"]
    assert counts["OK"] + counts["DROPPED"] + counts["NOT_FOUND"] == len(sizes)
    assert found == sorted(set(found))
    assert list(directory.glob(".*")) == []
