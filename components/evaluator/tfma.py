"""TFMA, imported whole.

`import tensorflow_model_analysis` stops half-way, and only prints a line, where the notebook
widgets that it shows results with cannot be imported: `load_eval_result` is then missing. Nothing
here shows results, so TFMA gets empty widgets where there are no real ones.
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

# By its parts: these import also where somebody imported the package before, half-way.
from tensorflow_model_analysis import constants  # noqa: E402
from tensorflow_model_analysis.api import model_eval_lib  # noqa: E402
from tensorflow_model_analysis.metrics import metric_specs, metric_types  # noqa: E402
from tensorflow_model_analysis.proto import config_pb2, validation_result_pb2  # noqa: E402
from tensorflow_model_analysis.slicer import slicer_lib  # noqa: E402
from tensorflow_model_analysis.utils import config_util, model_util  # noqa: E402

__all__ = [
    "config_pb2",
    "config_util",
    "constants",
    "metric_specs",
    "metric_types",
    "model_eval_lib",
    "model_util",
    "slicer_lib",
    "validation_result_pb2",
]
