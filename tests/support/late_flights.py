"""A user module as a team writes it: a small Keras 3 model of late flights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx_bsl.public import tfxio

from prodml.components import FnArgs, export_model

PARSED = {
    "distance": tf.io.FixedLenFeature([1], tf.float32),
    "hour": tf.io.FixedLenFeature([1], tf.int64),
    "origin": tf.io.FixedLenFeature([1], tf.string),
}


def run_fn(fn_args: FnArgs) -> None:
    schema = text_format.Parse(Path(str(fn_args.schema_path)).read_text(), schema_pb2.Schema())
    options = tfxio.TensorFlowDatasetOptions(batch_size=32, label_key="is_late")
    train = fn_args.data_accessor.tf_dataset_factory(fn_args.train_files, options, schema)
    model = build()
    model.compile(optimizer="adam", loss="binary_crossentropy")
    model.fit(train.map(model_inputs), steps_per_epoch=fn_args.train_steps, verbose=0)
    export(model, str(fn_args.serving_model_dir))


def build() -> Any:
    inputs = {name: keras.Input((1,), name=name) for name in ("distance", "hour", "is_from_newark")}
    hidden = keras.layers.Dense(8, activation="relu")(
        keras.layers.Concatenate()(list(inputs.values()))
    )
    hidden = keras.layers.Dropout(0.1)(hidden)
    return keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(hidden))


def model_inputs(features: Any, *label: Any) -> Any:
    inputs = {
        "distance": features["distance"] / 1000.0,
        "hour": tf.cast(features["hour"], tf.float32) / 24.0,
        "is_from_newark": tf.cast(features["origin"] == b"EWR", tf.float32),
    }
    return (inputs, *label) if label else inputs


class Served(tf.Module):
    """The model with its signatures."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve(self, examples: Any) -> Any:
        features = tf.io.parse_example(examples, PARSED)
        return {"outputs": self.model(model_inputs(features))}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def transform_features(self, examples: Any) -> Any:
        label = tf.io.FixedLenFeature([1], tf.int64)
        features = tf.io.parse_example(examples, {**PARSED, "is_late": label})
        hour = features["hour"]
        return {"is_late_xf": features["is_late"], "is_evening": tf.cast(hour >= 17, tf.int64)}

    @tf.function(
        input_signature=[
            {name: tf.TensorSpec([None, 1], spec.dtype, name=name) for name, spec in PARSED.items()}
        ]
    )
    def serve_raw(self, features: Any) -> Any:
        return {"outputs": self.model(model_inputs(features))}


def export(model: Any, directory: str) -> None:
    served = Served(model)
    export_model(
        model,
        directory,
        signatures={
            "serving_default": served.serve,
            "serving_raw": served.serve_raw,
            "transform_features": served.transform_features,
        },
    )
