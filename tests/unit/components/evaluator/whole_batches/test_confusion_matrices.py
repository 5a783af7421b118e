"""Confusion matrices over whole batches."""

import numpy as np
import pytest

from prodml.components.evaluator.tfma import config_pb2
from prodml.components.evaluator.whole_batches.confusion_matrices import MultiClassMatrices
from prodml.components.evaluator.whole_batches.metric_inputs import MetricInputs


@pytest.mark.parametrize("label", [2**20, 2**50, -(2**50), -(2**63)])
def test_labels_that_are_not_class_ids_are_rejected_without_overflow(label: int) -> None:
    inputs = MetricInputs(config_pb2.EvalConfig(), "", "", example_weighted=False)
    extracts = {
        "labels": np.array([[0], [label]]),
        "predictions": np.array([[0.2, 0.8], [0.6, 0.4]]),
    }
    with pytest.raises(ValueError, match="expected labels that are class ids below 1048576"):
        MultiClassMatrices(combiner=None, inputs=inputs).terms(extracts)
