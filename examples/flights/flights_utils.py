"""Features and model that predict whether a flight from New York arrives late.

This is a TFX module file. To run it under TFX, import FnArgs from TFX, and export_model from a copy
of components/trainer/export.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
import tensorflow_transform as tft
from tfx_bsl.public import tfxio

from prodml.components import FnArgs, export_model

Tensors = dict[str, Any]

LABEL = "is_late"
MEASURES = [
    "distance",
    "plane_year",
    "plane_seats",
    "humid",
    "wind_speed",
    "wind_gust",
    "pressure",
    "visib",
]
"""Columns scaled to mean 0 and variance 1; a missing value becomes the mean.

Temperature and dew point are excluded: they indicate the season, so the model would be better on
the months it is trained on and worse on the next month.
"""
NAMES = ["carrier", "origin", "dest"]
"""Columns that are looked up in a vocabulary of the training data."""
NUMBERED = {"weekday": 8, "hour": 24, "arrival_hour": 24}
"""Columns of integers from 0, used unchanged, with their number of values."""
WIND_BUCKETS = 12
SCHEDULE_BUCKETS = 512
RAW_FEATURES = [*MEASURES, *NAMES, *NUMBERED, "minute", "precip", "wind_dir"]

TRAINING = tfxio.TensorFlowDatasetOptions(
    batch_size=512, shuffle=True, shuffle_buffer_size=50_000, label_key=LABEL
)
EVALUATION = tfxio.TensorFlowDatasetOptions(
    batch_size=512, shuffle=False, num_epochs=1, label_key=LABEL
)
# With one graph call per step, Python would take as long as the arithmetic.
STEPS_PER_CALL = 25


def preprocessing_fn(inputs: Tensors) -> Tensors:
    """Computes features from columns; a column with missing values is a SparseTensor."""
    features = {
        name: dense(tft.scale_to_z_score(inputs[name]), 0.0) for name in [*MEASURES, "minute"]
    }
    # Rain is zero in most hours and has a long tail.
    rain = tf.math.log1p(100.0 * dense(inputs["precip"], 0.0))
    features["precip"] = tft.scale_to_z_score(rain)
    names = {name: dense(inputs[name], b"") for name in NAMES}
    for name, value in names.items():
        features[name] = tft.compute_and_apply_vocabulary(
            value, num_oov_buckets=1, vocab_filename=name
        )
    for name in NUMBERED:
        features[name] = tf.cast(dense(inputs[name], 0), tf.int64)
    # Delays of a carrier accumulate towards the evening, differently for each carrier.
    schedule = tf.strings.join([names["carrier"], tf.strings.as_string(features["hour"])], "@")
    features["schedule"] = tft.hash_strings(schedule, SCHEDULE_BUCKETS)
    features["wind_dir"] = wind_bucket(inputs["wind_dir"])
    features[LABEL] = tf.cast(inputs[LABEL], tf.int64)
    return features


def run_fn(fn_args: FnArgs) -> None:
    """Trains the model and exports it with the signatures of `export`."""
    transform = tft.TFTransformOutput(fn_args.transform_output)
    model = late_model(transform, fn_args.train_steps)
    accessor, schema = fn_args.data_accessor, transform.transformed_metadata.schema
    model.fit(
        accessor.tf_dataset_factory(fn_args.train_files, TRAINING, schema),
        steps_per_epoch=fn_args.train_steps,
        validation_data=accessor.tf_dataset_factory(fn_args.eval_files, EVALUATION, schema),
        validation_steps=fn_args.eval_steps,
        callbacks=[keras.callbacks.TensorBoard(fn_args.model_run_dir, write_graph=False)],
        verbose=2,
    )
    export(model, transform, fn_args.serving_model_dir)


def export(model: keras.Model, transform: tft.TFTransformOutput, directory: str) -> None:
    """Exports the model together with its transformations.

    Signatures:
        serving_default: maps `examples`, serialized tf.Examples, to `probabilities` of being late.
        serving_raw: maps one tensor of shape [batch, 1] per column to `probabilities`. A missing
            value is NaN, or -1 for integers.
        transform_features: maps `examples` with the label to transformed features, for TFMA.
    """
    layer = transform.transform_features_layer()
    labelled = {
        name: spec
        for name, spec in transform.raw_feature_spec().items()
        if name in (*RAW_FEATURES, LABEL)
    }
    columns = {name: spec for name, spec in labelled.items() if name != LABEL}

    def predict(inputs: Tensors) -> Tensors:
        features = layer(inputs)
        return {"probabilities": model({name: features[name] for name in model.input})}

    def predict_raw(raw: Tensors) -> Tensors:
        return predict(
            {
                name: sparse(raw[name]) if isinstance(spec, tf.io.VarLenFeature) else raw[name]
                for name, spec in columns.items()
            }
        )

    examples = tf.TensorSpec([None], tf.string, name="examples")
    raw = {n: tf.TensorSpec([None, 1], spec.dtype, name=n) for n, spec in columns.items()}
    export_model(
        model,
        directory,
        signatures={
            "serving_default": traced(
                lambda examples: predict(tf.io.parse_example(examples, columns)), examples
            ),
            "serving_raw": traced(predict_raw, raw),
            "transform_features": traced(
                lambda examples: layer(tf.io.parse_example(examples, labelled)), examples
            ),
        },
        resources=[layer],
    )


def traced(function: Callable[..., Tensors], argument: Any) -> Any:
    """Traces a signature without AutoGraph, which would spend seconds on Keras's own code."""
    return tf.function(function, autograph=False).get_concrete_function(argument)


def late_model(transform: tft.TFTransformOutput, steps: int) -> keras.Model:
    """Builds a model with embeddings of the categories and two hidden layers."""
    inputs, parts = {}, []
    for name in [*MEASURES, "minute", "precip"]:
        inputs[name] = keras.Input([1], name=name, dtype="float32")
        parts.append(inputs[name])
    sizes = {
        **{name: transform.vocabulary_size_by_name(name) + 1 for name in NAMES},
        **NUMBERED,
        "wind_dir": WIND_BUCKETS + 1,
        "schedule": SCHEDULE_BUCKETS,
    }
    for name, size in sizes.items():
        inputs[name] = keras.Input([1], name=name, dtype="int64")
        width = min(8, 1 + size // 3)
        parts.append(keras.layers.Flatten()(keras.layers.Embedding(size, width)(inputs[name])))
    hidden = keras.layers.Concatenate()(parts)
    for units in (96, 48):
        hidden = keras.layers.Dense(units, activation="relu")(hidden)
        hidden = keras.layers.Dropout(0.3)(hidden)
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(hidden))
    model.compile(
        optimizer=keras.optimizers.AdamW(
            keras.optimizers.schedules.CosineDecay(1e-3, steps), weight_decay=0.1
        ),
        loss="binary_crossentropy",
        metrics=[keras.metrics.AUC(name="auc")],
        steps_per_execution=min(STEPS_PER_CALL, steps),
        # XLA compilation of such a small model takes longer than it saves.
        jit_compile=False,
    )
    return model


def wind_bucket(direction: Any) -> tf.Tensor:
    """Returns the bucket of the wind direction, counted from 1; 0 if it was not measured."""
    buckets = tft.bucketize(direction, WIND_BUCKETS)
    if isinstance(buckets, tf.SparseTensor):
        buckets = buckets.with_values(buckets.values + 1)
        return dense(buckets, 0)
    return buckets + 1


def dense(column: Any, missing: Any) -> tf.Tensor:
    """Converts a column to a tensor of shape [batch, 1]."""
    if not isinstance(column, tf.SparseTensor):
        return column
    one_per_row = tf.SparseTensor(column.indices, column.values, [column.dense_shape[0], 1])
    return tf.sparse.to_dense(one_per_row, tf.cast(missing, column.dtype))


def sparse(column: tf.Tensor) -> tf.SparseTensor:
    """Converts a raw tensor to a SparseTensor without the missing values."""
    is_present = column >= tf.cast(0, column.dtype) if column.dtype.is_integer else column == column
    indices = tf.where(is_present)
    return tf.SparseTensor(
        indices, tf.gather_nd(column, indices), tf.shape(column, out_type=tf.int64)
    )
