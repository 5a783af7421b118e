"""Will a flight from New York arrive late? Its features, and the model that answers.

A TFX module file: under TFX it runs with FnArgs imported from there, and export_model from a copy
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
"""Scaled to mean 0 and variance 1; a missing one becomes the mean.

Not the temperature and the dew point: they tell the season, and so the model would do better on
flights of the months it learned from and worse on the month after.
"""
NAMES = ["carrier", "origin", "dest"]
"""Looked up in the vocabulary seen in training."""
NUMBERED = {"weekday": 8, "hour": 24, "arrival_hour": 24}
"""Whole numbers from 0 up to the size given, used as they are."""
WIND_BUCKETS = 12
SCHEDULE_BUCKETS = 512
RAW_FEATURES = [*MEASURES, *NAMES, *NUMBERED, "minute", "precip", "wind_dir"]

TRAINING = tfxio.TensorFlowDatasetOptions(
    batch_size=512, shuffle=True, shuffle_buffer_size=50_000, label_key=LABEL
)
EVALUATION = tfxio.TensorFlowDatasetOptions(
    batch_size=512, shuffle=False, num_epochs=1, label_key=LABEL
)
# One call into the graph a step would spend as long in Python as in the arithmetic.
STEPS_PER_CALL = 25


def preprocessing_fn(inputs: Tensors) -> Tensors:
    """Features from columns; a column with missing values comes as a SparseTensor."""
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
    # A carrier's day has its own rhythm: its delays pile up towards the evening.
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
    """Writes the model behind its transformations.

    Signatures:
        serving_default: `examples`, serialized tf.Examples, to `probabilities` of being late.
        serving_raw: one tensor of shape [batch, 1] a column, to `probabilities`. A missing
            value is NaN, -1 for whole numbers.
        transform_features: `examples` with the label to transformed features, for TFMA.
    """
    layer = transform.transform_features_layer()
    labelled = {
        name: spec
        for name, spec in transform.raw_feature_spec().items()
        if name in (*RAW_FEATURES, LABEL)
    }
    columns = {name: spec for name, spec in labelled.items() if name != LABEL}

    def predict(given: Tensors) -> Tensors:
        features = layer(given)
        return {"probabilities": model({name: features[name] for name in model.input})}

    def predict_raw(given: Tensors) -> Tensors:
        return predict(
            {
                name: present(given[name]) if isinstance(spec, tf.io.VarLenFeature) else given[name]
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
    """A signature. AutoGraph would rewrite Keras's own code first, which takes seconds."""
    return tf.function(function, autograph=False).get_concrete_function(argument)


def late_model(transform: tft.TFTransformOutput, steps: int) -> keras.Model:
    """Embeddings of the categories and the scaled measures, through two hidden layers."""
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
        # Compiling a model this small takes longer than it saves.
        jit_compile=False,
    )
    return model


def wind_bucket(direction: Any) -> tf.Tensor:
    """The quarter the wind blows from, counted from 1; 0 where it was not measured."""
    buckets = tft.bucketize(direction, WIND_BUCKETS)
    if isinstance(buckets, tf.SparseTensor):
        buckets = buckets.with_values(buckets.values + 1)
        return dense(buckets, 0)
    return buckets + 1


def dense(column: Any, missing: Any) -> tf.Tensor:
    """A column as a tensor of shape [batch, 1]."""
    if not isinstance(column, tf.SparseTensor):
        return column
    one_a_row = tf.SparseTensor(column.indices, column.values, [column.dense_shape[0], 1])
    return tf.sparse.to_dense(one_a_row, tf.cast(missing, column.dtype))


def present(column: tf.Tensor) -> tf.SparseTensor:
    """A raw tensor as the SparseTensor of the values that are not missing."""
    is_present = column >= tf.cast(0, column.dtype) if column.dtype.is_integer else column == column
    indices = tf.where(is_present)
    return tf.SparseTensor(
        indices, tf.gather_nd(column, indices), tf.shape(column, out_type=tf.int64)
    )
