"""A TF1 SavedModel with a signature of every kind, for a model server."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

v1 = tf.compat.v1
CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"
PREDICT = "tensorflow/serving/predict"


def save_many_signatures(directory: Path) -> None:
    """Saves the model.

    Signatures:
        serving_default: x (float, [None]) to y = x / 2 + 2.
        named: a (int64, [None]), b (string, [None, 2]), c (bool, [None]) to a (plus 1), joined
            (strings) and joined_bytes.
        nan: x (float, [None]) to NaN, infinity and minus infinity, [None, 3].
        classify, scores_only: tf.Examples with x to classes and scores.
        regress, regress_wide: tf.Examples with x to one value; regress_wide has two columns.
    """
    with tf.Graph().as_default(), v1.Session() as session:
        offset = v1.get_variable("offset", initializer=2.0)
        x = v1.placeholder(tf.float32, [None], "x")
        a, b, c = (
            v1.placeholder(dtype, shape, name)
            for name, dtype, shape in (
                ("a", tf.int64, [None]),
                ("b", tf.string, [None, 2]),
                ("c", tf.bool, [None]),
            )
        )
        joined = tf.strings.join([b[:, 0], b[:, 1], tf.strings.as_string(c)], "|")
        endless = tf.stack([x / 0.0 * 0.0, x * 0.0 + float("inf"), x * 0.0 - float("inf")], 1)
        examples = v1.placeholder(tf.string, [None], "examples")
        features = tf.io.parse_example(examples, {"x": tf.io.FixedLenFeature([], tf.float32, 0.0)})
        value = features["x"] / 2.0 + offset
        scores = tf.stack([value, -value], 1)
        classes = tf.tile(tf.constant([["late", "on time"]]), [tf.size(value), 1])
        signatures = {
            "serving_default": signature({"x": x}, {"y": x / 2.0 + offset}, PREDICT),
            "named": signature(
                {"a": a, "b": b, "c": c},
                {"a": a + 1, "joined": joined, "joined_bytes": joined},
                PREDICT,
            ),
            "nan": signature({"x": x}, {"y": endless}, PREDICT),
            "classify": signature(
                {"inputs": examples}, {"classes": classes, "scores": scores}, CLASSIFY
            ),
            "scores_only": signature({"inputs": examples}, {"scores": scores}, CLASSIFY),
            "regress": signature({"inputs": examples}, {"outputs": value[:, None]}, REGRESS),
            "regress_wide": signature({"inputs": examples}, {"outputs": scores}, REGRESS),
        }
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(directory))
        builder.add_meta_graph_and_variables(session, ["serve"], signatures)
        builder.save()


def signature(
    inputs: dict[str, tf.Tensor], outputs: dict[str, tf.Tensor], method: str
) -> tf.compat.v1.MetaGraphDef:
    info = v1.saved_model.build_tensor_info
    return v1.saved_model.build_signature_def(
        {name: info(tensor) for name, tensor in inputs.items()},
        {name: info(tensor) for name, tensor in outputs.items()},
        method,
    )
