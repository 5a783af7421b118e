import re
import threading
import timeit

from prometheus_client.parser import text_string_to_metric_families

from prodml.serving.observation.metrics import ServerMetrics


def _lines(metrics: ServerMetrics) -> list[str]:
    return metrics.exposition().decode().splitlines()


def test_a_request_is_printed_as_tf_serving_prints_it():
    metrics = ServerMetrics()
    metrics.request("flights", "predict", "GRPC", "OK", 0.000_02)
    lines = _lines(metrics)
    assert "# TYPE :tensorflow:serving:request_count counter" in lines
    assert ':tensorflow:serving:request_count{model_name="flights",status="OK"} 1' in lines
    assert "# TYPE :tensorflow:serving:request_latency histogram" in lines
    start = ':tensorflow:serving:request_latency_bucket{model_name="flights",API="Predict",'
    buckets = [line for line in lines if line.startswith(start)]
    assert len(buckets) == 34
    assert buckets[:3] == [
        f'{start}entrypoint="GRPC",le="10"}} 0',
        f'{start}entrypoint="GRPC",le="18"}} 0',
        f'{start}entrypoint="GRPC",le="32.4"}} 1',
    ]
    assert buckets[-2].endswith('le="1.47476e+09"} 1')
    assert buckets[-1].endswith('le="+Inf"} 1')
    rest = '{model_name="flights",API="Predict",entrypoint="GRPC"}'
    assert f":tensorflow:serving:request_latency_sum{rest} 20" in lines
    assert f":tensorflow:serving:request_latency_count{rest} 1" in lines


def test_rest_requests_carry_the_verb_of_their_url():
    metrics = ServerMetrics()
    metrics.request("flights", "predict", "REST", "OK", 0.001)
    labels = '{model_name="flights",API="predict",entrypoint="REST"}'
    assert f":tensorflow:serving:request_latency_count{labels} 1" in _lines(metrics)


def test_a_refused_request_is_counted_and_its_duration_is_not():
    metrics = ServerMetrics()
    metrics.request("flights", "Predict", "GRPC", "NOT_FOUND", 0.001)
    lines = _lines(metrics)
    assert ':tensorflow:serving:request_count{model_name="flights",status="NOT_FOUND"} 1' in lines
    assert not any(line.startswith(":tensorflow:serving:request_latency") for line in lines)


def test_requests_for_metadata_are_not_counted():
    metrics = ServerMetrics()
    metrics.request("flights", "GetModelMetadata", "GRPC", "OK", 0.001)
    metrics.request("flights", "metadata", "REST", "OK", 0.001)
    assert metrics.exposition() == ServerMetrics().exposition()


def test_every_metric_has_the_labels_of_tf_serving():
    metrics = ServerMetrics(thread_pool_name="batch_threads")
    metrics.request("m", "classify", "GRPC", "OK", 0.001)
    metrics.runtime("m", "classify", 0.001)
    metrics.examples("m", 3)
    metrics.loaded("/m/1", "OK", 0.5)
    metrics.loaded("/m/2", "fail", 0.5)
    metrics.warmed_up("/m/1", "OK", 0.1)
    metrics.batch("m", 3, 4, [0.001, 0.002])
    metrics.request_logged("m", "OK")
    text = metrics.exposition().decode()
    found = {
        name: ",".join(re.findall(r'(\w+)="', labels))
        for name, labels in re.findall(r"^([^#{]+){(.*)} \S+$", text, re.M)
        if name.endswith("_bucket") or f"{name.removesuffix('_count')}_bucket{{" not in text
        if not name.endswith("_sum")
    }
    assert found == {
        ":tensorflow:cc:saved_model:load_attempt_count": "model_path,status",
        ":tensorflow:cc:saved_model:load_latency": "model_path",
        ":tensorflow:serving:batching:padding_size_v2_bucket": (
            "model_name,execution_batch_size,op_name,le"
        ),
        ":tensorflow:serving:batching:processed_batch_size_v2": "model_name,op_name,batch_size",
        ":tensorflow:serving:batching_session:queuing_latency_bucket": "thread_pool_name,le",
        ":tensorflow:serving:batching_session:wrapped_run_count": "",
        ":tensorflow:serving:model_warmup_latency_bucket": "model_path,status,le",
        ":tensorflow:serving:request_count": "model_name,status",
        ":tensorflow:serving:request_example_count_total": "model",
        ":tensorflow:serving:request_example_counts_bucket": "model,le",
        ":tensorflow:serving:request_latency_bucket": "model_name,API,entrypoint,le",
        ":tensorflow:serving:request_log_count": "model_name,status_code",
        ":tensorflow:serving:runtime_latency_bucket": "model_name,API,runtime,le",
    }
    lines = _lines(metrics)
    assert (
        ':tensorflow:cc:saved_model:load_attempt_count{model_path="/m/2",status="fail"} 1' in lines
    )
    assert ':tensorflow:cc:saved_model:load_latency{model_path="/m/1"} 500000' in lines
    assert ":tensorflow:serving:batching_session:wrapped_run_count{} 1" in lines
    assert ':tensorflow:serving:request_example_counts_sum{model="m"} 3' in lines
    assert (
        ":tensorflow:serving:batching_session:queuing_latency_count"
        '{thread_pool_name="batch_threads"} 2'
    ) in lines


def test_a_metric_without_a_value_still_has_its_type_and_all_come_by_name():
    names = [line.split()[2] for line in _lines(ServerMetrics())]
    assert names == sorted(names)
    assert len(names) == 13


def test_label_values_are_escaped():
    metrics = ServerMetrics()
    name = 'a"b\\c\nd'
    metrics.request(name, "predict", "GRPC", "NOT_FOUND", 0.0)
    (family,) = (
        family
        for family in text_string_to_metric_families(metrics.exposition().decode())
        if family.name == ":tensorflow:serving:request_count"
    )
    assert family.samples[0].labels["model_name"] == name


def test_two_servers_have_separate_metrics():
    one, other = ServerMetrics(), ServerMetrics()
    one.request("m", "predict", "GRPC", "OK", 0.001)
    assert one.exposition() != other.exposition()


def test_unknown_model_names_do_not_fill_the_memory():
    metrics = ServerMetrics()
    for number in range(3_000):
        metrics.request(f"m{number}", "predict", "GRPC", "NOT_FOUND", 0.001)
    counts = [line for line in _lines(metrics) if line.startswith(":tensorflow:serving:request_c")]
    assert len(counts) == 1_001
    assert (
        ':tensorflow:serving:request_count{model_name="<others>",status="NOT_FOUND"} 2000' in counts
    )


def test_a_model_that_is_served_is_counted_by_its_name_after_any_number_of_others():
    metrics = ServerMetrics()
    for number in range(2_000):
        metrics.request(f"m{number}", "predict", "GRPC", "NOT_FOUND", 0.001)
    metrics.request("flights", "predict", "GRPC", "INTERNAL", 0.001, is_served=True)
    counts = _lines(metrics)
    assert ':tensorflow:serving:request_count{model_name="flights",status="INTERNAL"} 1' in counts


def test_a_long_unknown_model_name_is_not_stored():
    metrics = ServerMetrics()
    metrics.request("m" * 100_000, "predict", "GRPC", "NOT_FOUND", 0.001)
    assert len(metrics.exposition()) < 10_000
    assert (
        ':tensorflow:serving:request_count{model_name="<others>",status="NOT_FOUND"} 1'
        in _lines(metrics)
    )


def test_no_observation_of_many_threads_is_lost():
    metrics = ServerMetrics()

    def observe() -> None:
        for _ in range(2_000):
            metrics.request("m", "predict", "GRPC", "OK", 0.001)

    threads = [threading.Thread(target=observe) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = _lines(metrics)
    assert ':tensorflow:serving:request_count{model_name="m",status="OK"} 8000' in lines
    rest = '{model_name="m",API="Predict",entrypoint="GRPC"}'
    assert f":tensorflow:serving:request_latency_count{rest} 8000" in lines


def test_an_observation_costs_a_few_microseconds():
    metrics = ServerMetrics()
    seconds = min(
        timeit.repeat(
            lambda: metrics.request("m", "predict", "GRPC", "OK", 0.001), number=1_000, repeat=5
        )
    )
    assert seconds / 1_000 < 20e-6  # 1.5 on an idle core
