"""ImportExampleGen: reads TFRecord files of tf.Example."""
