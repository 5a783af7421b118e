"""The metrics of a model server, with TF Serving's names and in its text format."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, Metric

Labels = tuple[str, ...]

METRICS_PATH = "/monitoring/prometheus/metrics"
"""The default path of the metrics; the monitoring configuration can change it."""

_MAX_LABEL_SETS = 1_000
_LONGEST_LABEL = 1_000
_OTHERS = "<others>"


class ServerMetrics:
    """Counts and latencies of one server, for Prometheus.

    Names, labels, types and bucket boundaries are those of TF Serving 2.16
    (`util/prometheus_exporter.cc`, `servables/tensorflow/util.cc`), so its dashboards work. All
    methods are thread-safe and take about a microsecond.

    Args:
        thread_pool_name: the batching parameters' name of the batch threads.
    """

    def __init__(self, thread_pool_name: str = "") -> None:
        self._thread_pool_name = thread_pool_name
        lock = threading.Lock()
        # Sorted by name, as TF Serving's exporter sorts them.
        self._load_attempts = _Counter(
            lock, "/tensorflow/cc/saved_model/load_attempt_count", ("model_path", "status")
        )
        self._load_latency = _Counter(
            lock, "/tensorflow/cc/saved_model/load_latency", ("model_path",)
        )
        self._padding = _Histogram(
            lock,
            "/tensorflow/serving/batching/padding_size_v2",
            ("model_name", "execution_batch_size", "op_name"),
            [-2 / 3, *_exponential(2 / 3, 2, 16)],
        )
        self._processed = _Counter(
            lock,
            "/tensorflow/serving/batching/processed_batch_size_v2",
            ("model_name", "op_name", "batch_size"),
        )
        self._queuing = _Histogram(
            lock,
            "/tensorflow/serving/batching_session/queuing_latency",
            ("thread_pool_name",),
            _exponential(100, 1.2, 52),
        )
        self._wrapped_runs = _Counter(
            lock, "/tensorflow/serving/batching_session/wrapped_run_count", ()
        )
        self._warm_up = _Histogram(
            lock,
            "/tensorflow/serving/model_warmup_latency",
            ("model_path", "status"),
            _exponential(10, 1.8, 33),
        )
        self._requests = _Counter(
            lock, "/tensorflow/serving/request_count", ("model_name", "status")
        )
        self._examples_total = _Counter(
            lock, "/tensorflow/serving/request_example_count_total", ("model",)
        )
        self._examples = _Histogram(
            lock,
            "/tensorflow/serving/request_example_counts",
            ("model",),
            _exponential(1, 2, 15),
        )
        self._latency = _Histogram(
            lock,
            "/tensorflow/serving/request_latency",
            ("model_name", "API", "entrypoint"),
            _exponential(10, 1.8, 33),
        )
        self._logged = _Counter(
            lock, "/tensorflow/serving/request_log_count", ("model_name", "status_code")
        )
        self._runtime = _Histogram(
            lock,
            "/tensorflow/serving/runtime_latency",
            ("model_name", "API", "runtime"),
            _exponential(10, 1.8, 33),
        )
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)

    def request(
        self,
        model: str,
        api: str,
        entrypoint: str,
        status: str,
        seconds: float,
        *,
        is_served: bool = False,
    ) -> None:
        """Counts an answered request, and its duration if it succeeded.

        As in TF Serving, requests for metadata or status are not counted.

        Args:
            model: the model name in the request.
            api: `predict`, `classify`, `regress` or `multi_inference`, or the name of the gRPC
                method.
            entrypoint: `GRPC` or `REST`.
            status: the canonical name of the status: `OK` or an error code.
            seconds: time from the request to its answer.
            is_served: whether the model is configured; other names are counted together if they
                are many or long.
        """
        label = _APIS.get((entrypoint, api))
        if label is None:
            return
        self._requests.add((model, status), 1, is_bounded=not is_served)
        if status == "OK":
            self._latency.observe((model, label, entrypoint), _microseconds(seconds))

    def runtime(self, model: str, api: str, seconds: float) -> None:
        """Records how long TensorFlow took for a request; the arguments are those of `request`."""
        labels = (model, _METHODS.get(api, api), "TF1")
        self._runtime.observe(labels, _microseconds(seconds))

    def examples(self, model: str, count: int) -> None:
        """Counts the examples of a Classify, Regress or MultiInference request."""
        self._examples.observe((model,), count)
        self._examples_total.add((model,), count)

    def loaded(self, path: str, status: str, seconds: float) -> None:
        """Counts an attempt to load a version.

        Args:
            path: the version's directory.
            status: `OK` or `success`; anything else is a failure.
            seconds: duration; recorded only for successes, as in TensorFlow.
        """
        if status in ("OK", "success"):
            self._load_attempts.add((path, "success"), 1)
            self._load_latency.add((path,), _microseconds(seconds))
        else:
            self._load_attempts.add((path, "fail"), 1)

    def warmed_up(self, model: str, status: str, seconds: float) -> None:
        """Counts the warm-up of a version.

        Args:
            model: the version's directory, which TF Serving puts under the label `model_path`.
            status: `OK` or the error code.
            seconds: duration.
        """
        self._warm_up.observe((model, status), _microseconds(seconds))

    def batch(
        self, model: str, size: int, padded_size: int, queued_seconds: Sequence[float]
    ) -> None:
        """Counts a batch that TensorFlow ran.

        Args:
            model: name of the model.
            size: number of requested rows.
            padded_size: number of rows after padding.
            queued_seconds: how long each request of the batch waited.
        """
        self._wrapped_runs.add((), 1)
        self._processed.add((model, _BATCH_OP, str(padded_size)), 1)
        self._padding.observe((model, str(padded_size), _BATCH_OP), padded_size - size)
        for seconds in queued_seconds:
            self._queuing.observe((self._thread_pool_name,), _microseconds(seconds))

    def request_logged(self, model: str, status: str) -> None:
        """Counts a request that was sampled for the request log; `OK` means it is in a file."""
        self._logged.add((model, status), 1)

    def exposition(self) -> bytes:
        """Returns all metrics in Prometheus text format, as TF Serving's exporter writes them."""
        # prometheus_client would append _total to the names of counters, and write help texts.
        lines = []
        for metric in self.registry.collect():
            lines.append(f"# TYPE {metric.name} {metric.type}\n")
            for sample in metric.samples:
                labels = ",".join(
                    f'{name}="{_escaped(value)}"' for name, value in sample.labels.items()
                )
                lines.append(f"{sample.name}{{{labels}}} {sample.value}\n")
        return "".join(lines).encode()

    def collect(self) -> Iterator[Metric]:
        """Yields the metrics sorted by name, for a registry of prometheus_client."""
        for table in vars(self).copy().values():
            if isinstance(table, _Counter | _Histogram):
                yield table.metric()


_METHODS = {
    "predict": "Predict",
    "classify": "Classify",
    "regress": "Regress",
    "multi_inference": "MultiInference",
}
# gRPC requests are labeled by their method, REST requests by the verb in their path.
_APIS = {
    **{("GRPC", api): method for api, method in _METHODS.items()},
    **{("GRPC", method): method for method in _METHODS.values()},
    **{("REST", api): api for api in _METHODS},
}
_BATCH_OP = "batching_session"


class _Counter:
    """Sums of integers by label values."""

    def __init__(self, lock: threading.Lock, path: str, labels: Labels) -> None:
        self._lock = lock
        self._name = path.replace("/", ":")
        self._labels = labels
        self._sums: dict[Labels, int] = {}

    def add(self, values: Labels, amount: int, *, is_bounded: bool = True) -> None:
        sums = self._sums
        with self._lock:
            if is_bounded and values not in sums:
                values = _bounded(values, len(sums))
            sums[values] = sums.get(values, 0) + amount

    def metric(self) -> Metric:
        with self._lock:
            sums = sorted(self._sums.items())
        metric = Metric(self._name, "", "counter")
        for values, value in sums:
            metric.add_sample(self._name, dict(zip(self._labels, values, strict=True)), value)
        return metric


class _Histogram:
    """Distributions by label values."""

    def __init__(
        self, lock: threading.Lock, path: str, labels: Labels, limits: Sequence[float]
    ) -> None:
        self._lock = lock
        self._name = path.replace("/", ":")
        self._labels = labels
        self._limits = list(limits)
        # Six digits, as in TF Serving: the text of a bucket boundary identifies the series.
        self._limit_names = [*(f"{limit:g}" for limit in limits), "+Inf"]
        # By label values: the sum, then the count of each bucket.
        self._cells: dict[Labels, list[int]] = {}

    def observe(self, values: Labels, value: int) -> None:
        # A value equal to a boundary counts in the bucket above, as in TensorFlow's histograms.
        bucket = bisect_right(self._limits, value) + 1
        cells = self._cells
        with self._lock:
            cell = cells.get(values)
            if cell is None:
                values = _bounded(values, len(cells))
                cell = cells.setdefault(values, [0] * (len(self._limits) + 2))
            cell[0] += value
            cell[bucket] += 1

    def metric(self) -> Metric:
        with self._lock:
            cells = sorted((values, list(cell)) for values, cell in self._cells.items())
        metric = Metric(self._name, "", "histogram")
        for values, (total, *counts) in cells:
            labels = dict(zip(self._labels, values, strict=True))
            cumulative = list(accumulate(counts))
            for limit, count in zip(self._limit_names, cumulative, strict=True):
                metric.add_sample(f"{self._name}_bucket", {**labels, "le": limit}, count)
            metric.add_sample(f"{self._name}_sum", labels, total)
            metric.add_sample(f"{self._name}_count", labels, cumulative[-1])
        return metric


def _bounded(values: Labels, known: int) -> Labels:
    # Clients choose the model name; without a limit, unknown names would fill the memory.
    is_kept = not values or (known < _MAX_LABEL_SETS and len(values[0]) <= _LONGEST_LABEL)
    return values if is_kept else (_OTHERS, *values[1:])


def _exponential(scale: float, growth: float, count: int) -> list[float]:
    limits = [scale]
    while len(limits) < count:
        limits.append(limits[-1] * growth)
    return limits


def _microseconds(seconds: float) -> int:
    return max(0, int(seconds * 1e6))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
