"""A preprocessing_fn with every kind of analyzer, for tests of Transform."""

import tensorflow as tf
import tensorflow_transform as tft


def preprocessing_fn(inputs, custom_config=None):
    buckets = (custom_config or {}).get("buckets", 4)
    air_time = tft.sparse_tensor_to_dense_with_shape(inputs["air_time"], [None, 1], -1.0)
    tailnum = tft.sparse_tensor_to_dense_with_shape(inputs["tailnum"], [None, 1], "")
    return {
        "carrier": tft.compute_and_apply_vocabulary(
            inputs["carrier"], num_oov_buckets=1, vocab_filename="carrier"
        ),
        "tailnum": tft.hash_strings(tailnum, hash_buckets=16),
        "distance": tft.scale_to_z_score(tf.cast(inputs["distance"], tf.float32)),
        "air_time": tft.scale_to_0_1(air_time),
        "hour": tft.bucketize(inputs["hour"], num_buckets=buckets),
        "is_late": inputs["is_late"],
    }
