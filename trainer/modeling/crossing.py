"""Feature crosses with the ids that `tf.feature_column.crossed_column` gives integer columns.

TensorFlow has the hash as an operation on sparse strings and integers that XLA cannot compile; this is the same
arithmetic on dense ids: FingerprintCat64 of tensorflow/core/platform/fingerprint.h, begun with crossed_column's key.
"""

from typing import Any

import keras
import tensorflow as tf


HASH_KEY = 0xDECAFCAFFE
MULTIPLIER = 0xC6A4A7935BD1E995


@keras.saving.register_keras_serializable(package="trainer")
class Crossing(keras.layers.Layer):  # type: ignore[misc]
    """Integer ids of several columns, (B, columns) -> one bucket each, int32 (B,)."""

    def __init__(self, buckets: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.buckets = buckets

    def call(self, ids: Any) -> Any:
        """Hash the ids of each row together."""
        fingerprint = tf.fill([tf.shape(ids)[0]], tf.constant(HASH_KEY, tf.uint64))
        for column in tf.unstack(tf.cast(ids, tf.uint64), axis=1):
            fingerprint = _concatenate(fingerprint, column)
        return tf.cast(tf.math.floormod(fingerprint, tf.constant(self.buckets, tf.uint64)), tf.int32)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(B, columns) -> (B,)."""
        return (input_shape[0],)

    def compute_output_spec(self, ids: Any) -> Any:
        """int32, whatever the layer's dtype."""
        return keras.KerasTensor((ids.shape[0],), dtype="int32")

    def get_config(self) -> dict[str, Any]:
        """What makes this layer again."""
        return {**super().get_config(), "buckets": self.buckets}


def _concatenate(first: Any, second: Any) -> Any:
    """The fingerprint of two fingerprints; all arithmetic is modulo 2**64."""
    multiplier = tf.constant(MULTIPLIER, tf.uint64)
    result = tf.bitwise.bitwise_xor(first, multiplier)
    result = tf.bitwise.bitwise_xor(result, _shift_mix(second * multiplier) * multiplier)
    result = result * multiplier
    return _shift_mix(_shift_mix(result) * multiplier)


def _shift_mix(value: Any) -> Any:
    return tf.bitwise.bitwise_xor(value, tf.bitwise.right_shift(value, tf.constant(47, tf.uint64)))
