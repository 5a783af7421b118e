"""Labels, predictions and weights of a whole batch, as TFMA selects them for a row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from prodml.components.evaluator.tfma import metric_types, metric_util


@dataclass(frozen=True)
class Pairs:
    """Labels with their predictions and weights.

    Attributes:
        labels: of shape [rows, m]; m is 1, or the number of classes if each class is a pair.
        predictions: of shape [rows, m].
        weights: float64 of shape [rows, m].
        kept: bool of shape [rows, m]: the pairs that count; None for all.
    """

    labels: Any
    predictions: Any
    weights: Any
    kept: Any = None


@dataclass(frozen=True)
class MetricInputs:
    """Selects the labels, predictions and weights of a metric.

    The attributes are arguments of TFMA's `metric_util.to_label_prediction_example_weight`, which
    does the same for a row.
    """

    eval_config: Any
    model_name: str
    output_name: str
    example_weighted: bool
    class_id: int | None = None
    class_weights: Mapping[int, float] | None = None

    def select(self, extracts: Mapping[str, Any]) -> tuple[Any, Any, Any]:
        """Labels [rows, 1 or classes], predictions [rows, classes], float64 weights [rows].

        Raises:
            ValueError: the shapes of labels, predictions and weights do not match.
        """
        [(label, prediction, weight)] = metric_util.to_label_prediction_example_weight(
            metric_types.StandardMetricInputs(extracts),
            eval_config=self.eval_config,
            model_name=self.model_name,
            output_name=self.output_name,
            example_weighted=self.example_weighted,
            flatten=False,
            squeeze=False,
        )
        rows = len(prediction)
        labels, predictions = label.reshape(rows, -1), prediction.reshape(rows, -1)
        weights = np.broadcast_to(np.asarray(weight, np.float64).reshape(-1), rows)
        if self.class_id is not None:
            labels, predictions = _of_class(self.class_id, labels, predictions)
        return labels, predictions, weights

    def pairs(self, extracts: Mapping[str, Any]) -> Pairs:
        """The pairs of all rows, one for each class.

        Raises:
            ValueError: the shapes of labels, predictions and weights do not match.
        """
        labels, predictions, weights = self.select(extracts)
        if labels.shape != predictions.shape:
            if labels.shape[1] != 1:
                raise ValueError(
                    f"expected one label per row, or one for each of the "
                    f"{predictions.shape[1]} predictions, got {labels.shape[1]}"
                )
            labels = metric_util.one_hot(labels, predictions)
        weights = np.repeat(weights[:, None], predictions.shape[1], axis=1)
        if self.class_weights:
            weights = weights * [
                self.class_weights.get(i, 0.0) for i in range(predictions.shape[1])
            ]
        return Pairs(labels, predictions, weights)

    def whole_labels(self, extracts: Mapping[str, Any]) -> Pairs:
        """Pairs whose labels are 0 or 1; pairs with weight 0 do not count.

        A fractional label is split into two pairs, which share its weight.

        Raises:
            ValueError: the shapes of labels, predictions and weights do not match, or a label is
                not within 0 and 1.
        """
        pairs = self.pairs(extracts)
        labels, weights = pairs.labels, pairs.weights
        if not np.all((labels >= 0) & (labels <= 1)):
            raise ValueError("label must be within [0, 1]; the metric is for binary labels")
        if np.all((labels == 0) | (labels == 1)):
            return Pairs(labels, pairs.predictions, weights, weights != 0)
        split = np.concatenate([weights * (1 - labels), weights * labels], axis=1)
        return Pairs(
            np.concatenate([np.zeros(labels.shape), np.ones(labels.shape)], axis=1),
            np.concatenate([pairs.predictions] * 2, axis=1),
            split,
            split != 0,
        )


def inputs_of(combiner: Any, key: Any) -> MetricInputs | None:
    """The inputs of one of TFMA's combiners for a metric key.

    None if the combiner reads the best k predictions, which can only be found row by row.
    """
    sub_key = key.sub_key
    if sub_key is not None and (sub_key.k is not None or sub_key.top_k is not None):
        return None
    return MetricInputs(
        combiner._eval_config,
        key.model_name,
        key.output_name,
        combiner._example_weighted,
        None if sub_key is None else sub_key.class_id,
        combiner._class_weights,
    )


def all_classes(combiner: Any) -> MetricInputs:
    """The inputs of one of TFMA's combiners that ignores the sub-key of its metric."""
    return MetricInputs(
        combiner._eval_config,
        combiner._key.model_name,
        combiner._key.output_name,
        combiner._example_weighted,
        class_weights=getattr(combiner, "_class_weights", None),
    )


def _of_class(class_id: int, labels: Any, predictions: Any) -> tuple[Any, Any]:
    classes = predictions.shape[1]
    if not 0 <= class_id < classes:
        raise ValueError(f"class_id {class_id} out of range of {classes} predictions")
    if labels.shape[1] == classes:
        selected = labels[:, class_id : class_id + 1]
    else:
        selected = (labels[:, :1] == class_id).astype(np.int64)
    return selected, predictions[:, class_id : class_id + 1]
