"""Which species is a penguin? A module file as TFX's users write it: no Transform, a Sequential.

The shape is that of TFX's penguin tutorial: raw examples through the DataAccessor with a feature
spec of fixed columns, a small model of `tf.keras`, and one signature that parses tf.Examples.
Under TFX it runs with the import of FnArgs changed.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow import keras
from tensorflow_transform.tf_metadata import schema_utils
from tfx_bsl.public import tfxio

from prodml.components import FnArgs

LABEL = "species"
FEATURES = ["culmen_length_mm", "culmen_depth_mm", "flipper_length_mm", "body_mass_g"]
SPECIES = 3
BATCH = 20
SPEC = {
    **{name: tf.io.FixedLenFeature([1], tf.float32) for name in FEATURES},
    LABEL: tf.io.FixedLenFeature([1], tf.int64),
}


def dataset(patterns: list[str], accessor: Any, schema: Any) -> tf.data.Dataset:
    options = tfxio.TensorFlowDatasetOptions(batch_size=BATCH, label_key=LABEL)
    return accessor.tf_dataset_factory(patterns, options, schema).repeat()


def classifier() -> keras.Model:
    inputs = [keras.layers.Input(shape=(1,), name=name) for name in FEATURES]
    hidden = keras.layers.concatenate(inputs)
    for _ in range(2):
        hidden = keras.layers.Dense(8, activation="relu")(hidden)
    model = keras.Model(inputs=inputs, outputs=keras.layers.Dense(SPECIES)(hidden))
    model.compile(
        optimizer=keras.optimizers.Adam(1e-2),
        loss=tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy()],
    )
    return model


def examples_signature(model: keras.Model) -> Any:
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve(serialized: tf.Tensor) -> tf.Tensor:
        spec = {name: SPEC[name] for name in FEATURES}
        features = tf.io.parse_example(serialized, spec)
        return model([features[name] for name in FEATURES])

    return serve


def run_fn(fn_args: FnArgs) -> None:
    schema = schema_utils.schema_from_feature_spec(SPEC)
    model = classifier()
    model.fit(
        dataset(fn_args.train_files, fn_args.data_accessor, schema),
        steps_per_epoch=fn_args.train_steps,
        validation_data=dataset(fn_args.eval_files, fn_args.data_accessor, schema),
        validation_steps=fn_args.eval_steps,
        verbose=2,
    )
    save(model, fn_args.serving_model_dir)


def save(model: keras.Model, directory: str) -> None:
    signatures = {"serving_default": examples_signature(model)}
    tf.saved_model.save(model, directory, signatures=signatures)
