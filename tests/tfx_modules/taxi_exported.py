"""The taxi model, saved by export_model: what TFX's module file becomes for Keras 3."""

from __future__ import annotations

import taxi
import tensorflow_transform as tft

from prodml.components import FnArgs, export_model


def preprocessing_fn(inputs):
    return taxi.preprocessing_fn(inputs)


def run_fn(fn_args: FnArgs) -> None:
    transform = tft.TFTransformOutput(fn_args.transform_output)
    model = taxi.wide_and_deep([10, 5], learning_rate=0.001)
    model.fit(
        taxi.dataset(fn_args.train_files, fn_args.data_accessor, transform),
        steps_per_epoch=fn_args.train_steps,
        verbose=2,
    )
    feature_spec = transform.raw_feature_spec()
    feature_spec.pop(taxi.LABEL)
    export_model(
        model,
        fn_args.serving_model_dir,
        feature_spec=feature_spec,
        transform=transform.transform_features_layer(),
    )
