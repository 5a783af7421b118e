"""Reads TFRecord files of tf.Example."""
