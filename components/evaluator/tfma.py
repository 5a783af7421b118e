"""Imports TFMA completely, even without notebook widgets.

If the notebook widgets cannot be imported, `import tensorflow_model_analysis` stops half-way and
only prints a line; `load_eval_result` is then missing. prodml shows no results in notebooks, so
this module replaces missing widgets with empty ones.
"""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType


def _replace_widgets() -> None:
    notebook = ModuleType("tensorflow_model_analysis.notebook")
    visualization = ModuleType("tensorflow_model_analysis.notebook.visualization")
    for viewer in ("SlicingMetricsViewer", "TimeSeriesViewer", "PlotViewer"):
        setattr(visualization, viewer, None)
    sys.modules.setdefault(notebook.__name__, notebook)
    sys.modules.setdefault(visualization.__name__, visualization)


if importlib.util.find_spec("ipywidgets") is None:
    _replace_widgets()

# Import the submodules: this works even if the package was imported half-way before.
from tensorflow_model_analysis import constants  # noqa: E402
from tensorflow_model_analysis.api import model_eval_lib  # noqa: E402
from tensorflow_model_analysis.contrib.aggregates import (  # noqa: E402
    binary_confusion_matrices as bcm_computations,
)
from tensorflow_model_analysis.evaluators import (  # noqa: E402
    evaluator,
    metrics_plots_and_validations_evaluator,
    metrics_validator,
)
from tensorflow_model_analysis.extractors import (  # noqa: E402
    extractor,
    predictions_extractor,
    unbatch_extractor,
)
from tensorflow_model_analysis.metrics import (  # noqa: E402
    aggregation,
    binary_confusion_matrices,
    calibration,
    calibration_histogram,
    cross_entropy_metrics,
    example_count,
    mean_regression_error,
    metric_specs,
    metric_types,
    metric_util,
    multi_class_confusion_matrix_metrics,
    squared_pearson_correlation,
    tjur_discrimination,
)
from tensorflow_model_analysis.proto import config_pb2, validation_result_pb2  # noqa: E402
from tensorflow_model_analysis.slicer import slicer_lib  # noqa: E402
from tensorflow_model_analysis.utils import config_util, model_util, util  # noqa: E402

__all__ = [
    "aggregation",
    "bcm_computations",
    "binary_confusion_matrices",
    "calibration",
    "calibration_histogram",
    "config_pb2",
    "config_util",
    "constants",
    "cross_entropy_metrics",
    "evaluator",
    "example_count",
    "extractor",
    "mean_regression_error",
    "metric_specs",
    "metric_types",
    "metric_util",
    "metrics_plots_and_validations_evaluator",
    "metrics_validator",
    "model_eval_lib",
    "model_util",
    "multi_class_confusion_matrix_metrics",
    "predictions_extractor",
    "slicer_lib",
    "squared_pearson_correlation",
    "tjur_discrimination",
    "unbatch_extractor",
    "util",
    "validation_result_pb2",
]
