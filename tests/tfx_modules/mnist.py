"""Which digit is it? A module file as TFX's users write it: images, a small CNN, `model.save`.

The shape is that of TFX's image tutorials: `preprocessing_fn` decodes the bytes of each image, and
`model.save` writes the SavedModel format that only Keras 2 has. Under TFX it runs with the import
of FnArgs changed.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
from tfx_bsl.public import tfxio

from prodml.components import FnArgs

IMAGE, LABEL = "image", "label"
SIZE = 12
BATCH = 20


def transformed_name(key: str) -> str:
    return f"{key}_xf"


def preprocessing_fn(inputs: dict[str, Any]) -> dict[str, Any]:
    images = tf.map_fn(decoded, tf.reshape(inputs[IMAGE], [-1]), fn_output_signature=tf.float32)
    return {
        transformed_name(IMAGE): images,
        transformed_name(LABEL): tf.cast(inputs[LABEL], tf.int64),
    }


def decoded(image: tf.Tensor) -> tf.Tensor:
    pixels = tf.io.decode_png(image, channels=1)
    return tf.reshape(tf.cast(pixels, tf.float32) / 255.0, [SIZE, SIZE, 1])


def dataset(
    patterns: list[str], accessor: Any, transform: tft.TFTransformOutput
) -> tf.data.Dataset:
    options = tfxio.TensorFlowDatasetOptions(batch_size=BATCH, label_key=transformed_name(LABEL))
    schema = transform.transformed_metadata.schema
    return accessor.tf_dataset_factory(patterns, options, schema).repeat()


def convolutional() -> tf.keras.Model:
    model = tf.keras.models.Sequential(
        [
            tf.keras.layers.InputLayer(input_shape=(SIZE, SIZE, 1), name=transformed_name(IMAGE)),
            tf.keras.layers.Conv2D(4, 3, activation="relu"),
            tf.keras.layers.MaxPooling2D(2),
            tf.keras.layers.Flatten(),
            tf.keras.layers.Dropout(0.1),
            tf.keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        loss="sparse_categorical_crossentropy",
        optimizer=tf.keras.optimizers.RMSprop(learning_rate=0.0015),
        metrics=["sparse_categorical_accuracy"],
    )
    return model


def examples_signature(model: tf.keras.Model, transform: tft.TFTransformOutput) -> Any:
    model.tft_layer = transform.transform_features_layer()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve(serialized: tf.Tensor) -> tf.Tensor:
        spec = transform.raw_feature_spec()
        spec.pop(LABEL)
        features = model.tft_layer(tf.io.parse_example(serialized, spec))
        return model(features[transformed_name(IMAGE)])

    return serve


def run_fn(fn_args: FnArgs) -> None:
    transform = tft.TFTransformOutput(fn_args.transform_output)
    model = convolutional()
    model.fit(
        dataset(fn_args.train_files, fn_args.data_accessor, transform),
        steps_per_epoch=fn_args.train_steps,
        validation_data=dataset(fn_args.eval_files, fn_args.data_accessor, transform),
        validation_steps=fn_args.eval_steps,
        callbacks=[
            tf.keras.callbacks.TensorBoard(log_dir=fn_args.model_run_dir, update_freq="epoch")
        ],
        verbose=2,
    )
    signatures = {"serving_default": examples_signature(model, transform)}
    model.save(fn_args.serving_model_dir, save_format="tf", signatures=signatures)
