"""The penguins' model, saved by export_model: the one line that another Keras asks for."""

from __future__ import annotations

import penguin
import tensorflow as tf

from prodml.components import FnArgs, export_model


def run_fn(fn_args: FnArgs) -> None:
    penguin.save = save
    penguin.run_fn(fn_args)


def save(model: tf.keras.Model, directory: str) -> None:
    export_model(
        model, directory, signatures={"serving_default": penguin.examples_signature(model)}
    )
