"""The metrics of the candidate that are recorded as a property of the evaluation.

They can be read without TFMA, whose import takes seconds: `prodml retrain` compares them with
thresholds.
"""

from __future__ import annotations

import json
import math
from typing import Any

from prodml.components.evaluator.tfma import metric_types, model_eval_lib, model_util, slicer_lib

METRICS = "metrics"


def recorded_metrics(output: str, config: Any) -> str:
    """Metrics over all rows by name, as JSON; those that are not finite numbers are omitted.

    The name of a metric of a model with several outputs is `output/metric`.

    Args:
        output: the directory with the results of the analysis.
        config: the complete `tfma.EvalConfig`.
    """
    spec = model_util.get_baseline_model_spec(config)
    baseline = spec.name if spec else None
    found: dict[str, float] = {}
    for sliced in model_eval_lib.load_metrics(output):
        if sliced.HasField("cross_slice_key"):
            continue
        if slicer_lib.deserialize_slice_key(sliced.slice_key):
            continue
        for item in sliced.metric_keys_and_values:
            key = metric_types.MetricKey.from_proto(item.key)
            is_other = key.is_diff or (baseline is not None and key.model_name == baseline)
            value = item.value.double_value.value
            if is_other or not item.value.HasField("double_value") or not math.isfinite(value):
                continue
            found[f"{key.output_name}/{key.name}" if key.output_name else key.name] = value
    return json.dumps(found, sort_keys=True)
