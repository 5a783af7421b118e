"""The models of the conformance suite, and the config that serves them.

    python tests/conformance/served.py DIRECTORY

writes both, and prints the commands that serve them with TensorFlow Serving.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import tensorflow as tf

v1 = tf.compat.v1
VERSION = 123
_DIRECTORY = f"{VERSION:08}"
_CONFIG = """model_config_list {{
  config {{ name: "tf1" base_path: "{root}/tf1" model_platform: "tensorflow" }}
  config {{ name: "tf2" base_path: "{root}/tf2" model_platform: "tensorflow" }}
  config {{
    name: "versions" base_path: "{root}/versions" model_platform: "tensorflow"
    model_version_policy {{ all {{}} }}
    version_labels {{ key: "stable" value: 1 }}
    version_labels {{ key: "canary" value: 2 }}
  }}
}}
"""
_MONITORING = 'prometheus_config { enable: true path: "/monitoring/prometheus/metrics" }\n'


class HalfPlus(tf.Module):
    """y = x / 2 + offset, for tensors and for tf.Examples, as TF2 saves it."""

    def __init__(self, offset: float = 2.0) -> None:
        super().__init__()
        self.half, self.offset = tf.Variable(0.5), tf.Variable(offset)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def predict(self, x: Any) -> Any:
        return {"y": self.half * x + self.offset}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
    def classify(self, inputs: Any) -> Any:
        return {"scores": self._of_examples(inputs)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
    def regress(self, inputs: Any) -> Any:
        return {"outputs": self._of_examples(inputs)}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.int64, "n"),
            tf.TensorSpec([None, 2], tf.string, "s"),
            tf.TensorSpec([None], tf.bool, "b"),
        ]
    )
    def mixed(self, n: Any, s: Any, b: Any) -> Any:
        joined = tf.strings.join([s[:, 0], s[:, 1]])
        return {"n": n + 1, "joined": joined, "joined_bytes": joined, "not_b": tf.logical_not(b)}

    def _of_examples(self, examples: Any) -> Any:
        spec = {"x": tf.io.FixedLenFeature([1], tf.float32, 0.0)}
        return self.half * tf.io.parse_example(examples, spec)["x"] + self.offset


def save_tf2(directory: Path, offset: float = 2.0) -> None:
    model = HalfPlus(offset)
    signatures = {
        "serving_default": model.predict,
        "classify_x_to_y": model.classify,
        "regress_x_to_y": model.regress,
        "mixed": model.mixed,
    }
    tf.saved_model.save(model, str(directory), signatures)


def save_tf1(directory: Path) -> None:
    # TF1 does not write to a directory with files; TF2 replaces existing files.
    shutil.rmtree(directory, ignore_errors=True)
    with tf.Graph().as_default(), v1.Session() as session:
        half = v1.get_variable("half", initializer=0.5)
        x = v1.placeholder(tf.float32, [None], "x")
        examples = v1.placeholder(tf.string, [None], "examples")
        spec = {"x": tf.io.FixedLenFeature([1], tf.float32, 0.0)}
        y = half * v1.parse_example(examples, spec)["x"] + 2.0
        builders = v1.saved_model.signature_def_utils
        signatures = {
            "serving_default": builders.predict_signature_def({"x": x}, {"y": half * x + 2.0}),
            "classify_x_to_y": builders.classification_signature_def(examples, None, y),
            "regress_x_to_y": builders.regression_signature_def(examples, y),
        }
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(directory))
        builder.add_meta_graph_and_variables(session, ["serve"], signatures)
        builder.save()


def save_all(root: Path) -> list[str]:
    """Saves models and configs, and returns the options that serve them."""
    save_tf1(root / "tf1" / _DIRECTORY)
    save_tf2(root / "tf2" / _DIRECTORY)
    for version in (1, 2):
        save_tf2(root / "versions" / str(version), offset=float(version))
    (root / "models.config").write_text(_CONFIG.format(root=root))
    (root / "monitoring.config").write_text(_MONITORING)
    return [
        f"--model_config_file={root}/models.config",
        f"--monitoring_config_file={root}/monitoring.config",
        "--allow_version_labels_for_unavailable_models",
    ]


if __name__ == "__main__":
    target = Path(sys.argv[1]).absolute()
    options = " ".join(save_all(target))
    ports = "--port=8500 --rest_api_port=8501"
    print(f"tensorflow_model_server {ports} {options}")
    print(
        f"docker run -p 127.0.0.1:8500:8500 -p 127.0.0.1:8501:8501 -v {target}:{target}:ro "
        f"tensorflow/serving {options}"
    )
    print("make conformance SERVER=localhost:8500 REST=localhost:8501")
