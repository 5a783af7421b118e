"""Small data for the module files: penguins and digits, drawn at random, the same every time."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import tensorflow as tf

DIGIT_SIZE = 12


def penguins(rows: int) -> pa.Table:
    """Four measures around the means of each species."""
    drawn = np.random.default_rng(3)
    means = np.array([[38.8, 18.3, 190, 3700], [48.8, 18.4, 196, 3733], [47.5, 15.0, 217, 5076]])
    species = drawn.integers(0, len(means), rows)
    measures = means[species] * drawn.normal(1, 0.03, (rows, 4))
    names = ["culmen_length_mm", "culmen_depth_mm", "flipper_length_mm", "body_mass_g"]
    columns = {name: pa.array(measures[:, i], pa.float32()) for i, name in enumerate(names)}
    return pa.table({**columns, "species": pa.array(species, pa.int64())})


def digits(rows: int) -> pa.Table:
    """PNG images with a bright row of pixels, whose place is the label."""
    drawn = np.random.default_rng(5)
    labels = drawn.integers(0, 10, rows)
    images = drawn.integers(0, 80, (rows, DIGIT_SIZE, DIGIT_SIZE, 1)).astype(np.uint8)
    images[np.arange(rows), labels + 1] = 250
    encoded = [tf.io.encode_png(image).numpy() for image in images]
    return pa.table(
        {"image": pa.array(encoded, pa.binary()), "label": pa.array(labels, pa.int64())}
    )
