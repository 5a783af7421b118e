"""Will a taxi's passenger tip well? A module file as TFX's users write it: wide and deep, tf.keras.

The shape is that of TFX's taxi tutorial: every layer comes from `tf.keras`, the transformations are
a layer of the model, and `tf.saved_model.save` writes it with signatures that were traced from
`tf.function`s. Under TFX it runs with the import of FnArgs changed.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
from tfx_bsl.public import tfxio

from prodml.components import FnArgs

LABEL = "tips"
FARE = "fare"
MEASURES = ["trip_miles", "fare", "trip_seconds"]
VOCABULARY_FEATURES = ["payment_type", "company"]
VOCABULARY_SIZE = 1000
UNKNOWN_WORDS = 10
BUCKET_FEATURES = [
    "pickup_latitude",
    "pickup_longitude",
    "dropoff_latitude",
    "dropoff_longitude",
]
BUCKETS = 10
CATEGORY_SIZES = {
    "trip_start_hour": 24,
    "trip_start_day": 31,
    "trip_start_month": 12,
    "pickup_census_tract": 1000,
    "pickup_community_area": 77,
}
BATCH = 40


def transformed_name(key: str) -> str:
    return f"{key}_xf"


def preprocessing_fn(inputs: dict[str, Any]) -> dict[str, Any]:
    outputs = {}
    for key in MEASURES:
        outputs[transformed_name(key)] = tft.scale_to_z_score(filled(inputs[key]))
    for key in VOCABULARY_FEATURES:
        outputs[transformed_name(key)] = tft.compute_and_apply_vocabulary(
            filled(inputs[key]), top_k=VOCABULARY_SIZE, num_oov_buckets=UNKNOWN_WORDS
        )
    for key in BUCKET_FEATURES:
        outputs[transformed_name(key)] = tft.bucketize(filled(inputs[key]), BUCKETS)
    for key in CATEGORY_SIZES:
        outputs[transformed_name(key)] = filled(inputs[key])
    fare, tips = filled(inputs[FARE]), filled(inputs[LABEL])
    is_generous = tf.cast(tf.greater(tips, fare * 0.2), tf.int64)
    outputs[transformed_name(LABEL)] = tf.where(
        tf.math.is_nan(fare), tf.zeros_like(is_generous), is_generous
    )
    return outputs


def filled(column: Any) -> tf.Tensor:
    """A dense vector; a missing value is 0 or the empty string."""
    if not isinstance(column, tf.SparseTensor):
        return tf.squeeze(column, axis=1)
    default = "" if column.dtype == tf.string else 0
    one_a_row = tf.SparseTensor(column.indices, column.values, [column.dense_shape[0], 1])
    return tf.squeeze(tf.sparse.to_dense(one_a_row, default), axis=1)


def examples_signature(model: Any, transform: tft.TFTransformOutput) -> Any:
    model.tft_layer_inference = transform.transform_features_layer()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve_examples(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        spec = transform.raw_feature_spec()
        spec.pop(LABEL)
        features = model.tft_layer_inference(tf.io.parse_example(serialized, spec))
        return {"outputs": model(features)}

    return serve_examples


def transform_signature(model: Any, transform: tft.TFTransformOutput) -> Any:
    model.tft_layer_eval = transform.transform_features_layer()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def transform_features(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        spec = transform.raw_feature_spec()
        return model.tft_layer_eval(tf.io.parse_example(serialized, spec))

    return transform_features


def dataset(
    patterns: list[str], accessor: Any, transform: tft.TFTransformOutput
) -> tf.data.Dataset:
    return accessor.tf_dataset_factory(
        patterns,
        tfxio.TensorFlowDatasetOptions(batch_size=BATCH, label_key=transformed_name(LABEL)),
        transform.transformed_metadata.schema,
    ).repeat()


def wide_and_deep(hidden_units: list[int], learning_rate: float) -> tf.keras.Model:
    deep = {
        name: tf.keras.layers.Input(name=name, shape=(1,), dtype=tf.float32)
        for name in map(transformed_name, MEASURES)
    }
    sizes = {
        **dict.fromkeys(VOCABULARY_FEATURES, VOCABULARY_SIZE + UNKNOWN_WORDS),
        **dict.fromkeys(BUCKET_FEATURES, BUCKETS),
        **CATEGORY_SIZES,
    }
    wide = {
        transformed_name(key): tf.keras.layers.Input(
            name=transformed_name(key), shape=(1,), dtype=tf.int64
        )
        for key in sizes
    }
    hidden = tf.keras.layers.concatenate(list(deep.values()))
    for units in hidden_units:
        hidden = tf.keras.layers.Dense(units, activation="relu")(hidden)
    encoded = [
        tf.keras.layers.CategoryEncoding(num_tokens=size + 1)(wide[transformed_name(key)])
        for key, size in sizes.items()
    ]
    shallow = tf.keras.layers.Dense(hidden_units[-1], activation="relu")(
        tf.keras.layers.concatenate(encoded)
    )
    output = tf.keras.layers.Dense(1, activation="sigmoid")(
        tf.keras.layers.concatenate([hidden, shallow])
    )
    model = tf.keras.Model({**deep, **wide}, output)
    model.compile(
        loss="binary_crossentropy",
        optimizer=tf.keras.optimizers.Adam(learning_rate=learning_rate),
        metrics=["binary_accuracy"],
    )
    return model


def run_fn(fn_args: FnArgs) -> None:
    transform = tft.TFTransformOutput(fn_args.transform_output)
    model = wide_and_deep([100, 70, 50, 25], learning_rate=0.001)
    model.fit(
        dataset(fn_args.train_files, fn_args.data_accessor, transform),
        steps_per_epoch=fn_args.train_steps,
        validation_data=dataset(fn_args.eval_files, fn_args.data_accessor, transform),
        validation_steps=fn_args.eval_steps,
        callbacks=[tf.keras.callbacks.TensorBoard(log_dir=fn_args.model_run_dir)],
        verbose=2,
    )
    signatures = {
        "serving_default": examples_signature(model, transform),
        "transform_features": transform_signature(model, transform),
    }
    tf.saved_model.save(model, fn_args.serving_model_dir, signatures=signatures)
