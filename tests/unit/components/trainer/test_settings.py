import keras
import pytest
import tensorflow as tf
import tf_keras

from prodml.components.trainer.settings import settings_restored


def test_settings_are_restored_after_a_training() -> None:
    before = settings()
    with pytest.raises(RuntimeError), settings_restored():
        for package in (keras, tf_keras):
            package.backend.set_floatx("float64")
            package.mixed_precision.set_global_policy("mixed_bfloat16")
            package.backend.set_epsilon(1e-3)
            package.backend.set_image_data_format("channels_first")
        tf.config.run_functions_eagerly(True)
        tf.config.optimizer.set_jit("autoclustering")
        assert not set(before) & set(settings())
        raise RuntimeError
    assert settings() == before


def settings() -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for package in (keras, tf_keras):
        name = package.__name__
        found.append((f"{name} floatx", package.backend.floatx()))
        found.append((f"{name} epsilon", package.backend.epsilon()))
        found.append((f"{name} images", package.backend.image_data_format()))
        found.append((f"{name} layer", package.layers.Dense(1).compute_dtype))
    found.append(("eager functions", tf.config.functions_run_eagerly()))
    found.append(("jit", tf.config.optimizer.get_jit()))
    return found
