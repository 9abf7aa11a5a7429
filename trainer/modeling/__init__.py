"""Parts of models that Keras lacks and tf.estimator had."""
