"""AutoGraph does not convert the libraries, but still converts users' code."""

import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tf_keras
from tensorflow.python.autograph.impl import conversion

from prodml.components.trainer.autograph import libraries_unconverted

LIBRARY_FUNCTIONS = [
    tf_keras.layers.Dense.call,
    tf_keras.Model.train_step,
    tft.TFTransformOutput.raw_feature_spec,
    tft.TransformFeaturesLayer.call,
]


class Halving(tf_keras.layers.Layer):  # type: ignore[misc]
    """A user's layer whose `if` depends on a tensor: without AutoGraph it cannot be traced."""

    def call(self, values: tf.Tensor) -> tf.Tensor:
        if tf.reduce_sum(values) > 10.0:
            values = values / 2.0
        return values


@pytest.mark.parametrize("function", LIBRARY_FUNCTIONS, ids=lambda f: f.__qualname__)
def test_functions_of_the_libraries_are_not_converted(function: object) -> None:
    assert not conversion.is_allowlisted(function)
    with libraries_unconverted():
        assert conversion.is_allowlisted(function)
    assert not conversion.is_allowlisted(function)


def test_a_users_layer_is_still_converted() -> None:
    with libraries_unconverted():
        inputs = tf_keras.Input([2])
        model = tf_keras.Model(inputs, Halving()(inputs))
        halved = tf.function(model)(tf.constant([[8.0, 4.0]]))
        kept = tf.function(model)(tf.constant([[1.0, 2.0]]))
    assert halved.numpy().tolist() == [[4.0, 2.0]]
    assert kept.numpy().tolist() == [[1.0, 2.0]]


def test_several_steps_per_call_are_still_a_graph_loop() -> None:
    with libraries_unconverted():
        model = tf_keras.Sequential([tf_keras.layers.Dense(1)])
        model.compile("sgd", "mse", steps_per_execution=4)
        rows = tf.data.Dataset.from_tensors((tf.ones([2, 3]), tf.ones([2, 1]))).repeat()
        model.fit(rows, steps_per_epoch=8, verbose=0)
    assert int(model.optimizer.iterations) == 8
