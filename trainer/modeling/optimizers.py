"""Optimizers that Keras does not have: Adam in one pass, and two of them for one model."""

from typing import Any

import keras
import tensorflow as tf

from trainer.errors import UsageError


@keras.saving.register_keras_serializable(package="trainer")
class FusedAdam(keras.optimizers.Adam):  # type: ignore[misc]
    """Keras's Adam, each variable in one pass over memory where Keras's own takes a dozen.

    For models that XLA does not compile, and so does not fuse, with large dense variables. The kernel is TensorFlow's
    (`ResourceApplyAdam`), the formula and its epsilon are the same. `amsgrad` and sparse gradients go Keras's way.
    """

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable, and its two moments, for its gradient."""
        if self.amsgrad or isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, learning_rate)
            return
        i = self._get_variable_index(variable)
        dtype = variable.dtype
        step = tf.cast(self.iterations.value + 1, dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[i].value.handle,
            v=self._velocities[i].value.handle,
            beta1_power=tf.pow(tf.cast(self.beta_1, dtype), step),
            beta2_power=tf.pow(tf.cast(self.beta_2, dtype), step),
            lr=tf.cast(learning_rate, dtype),
            beta1=tf.cast(self.beta_1, dtype),
            beta2=tf.cast(self.beta_2, dtype),
            epsilon=tf.cast(self.epsilon, dtype),
            grad=tf.cast(gradient, dtype),
        )


@keras.saving.register_keras_serializable(package="trainer")
class TwoOptimizers(keras.optimizers.Optimizer):  # type: ignore[misc]
    """One optimizer for the variables whose path begins with a prefix, another for the rest."""

    def __init__(self, wide: Any, deep: Any, *, wide_prefix: str, name: str = "two_optimizers") -> None:
        super().__init__(learning_rate=0.0, name=name)  # each has its own
        self.wide = wide
        self.deep = deep
        self.wide_prefix = wide_prefix

    def build(self, variables: list[Any]) -> None:
        """Make the slots of both optimizers. Raises `UsageError` when the prefix tells nothing apart."""
        if self.built:
            return
        super().build(variables)
        wide, deep = self._split(variables, variables)
        if not wide or not deep:
            shown = ", ".join(variable.path for variable in variables)
            raise UsageError(f"wide_prefix {self.wide_prefix!r}: expected the start of some variables, not of {shown}")
        self.wide.build([variable for _, variable in wide])
        self.deep.build([variable for _, variable in deep])

    @property
    def variables(self) -> list[Any]:
        """Those of both, and the common count of steps."""
        return [*super().variables, *self.wide.variables, *self.deep.variables]

    def apply(self, grads: list[Any], trainable_variables: list[Any] | None = None) -> Any:
        """Update each variable by its own optimizer."""
        variables = self._trainable_variables if trainable_variables is None else list(trainable_variables)
        if not self.built:
            self.build(variables)
        wide, deep = self._split(grads, variables)
        for optimizer, pairs in ((self.wide, wide), (self.deep, deep)):
            if pairs:
                optimizer.apply([gradient for gradient, _ in pairs], [variable for _, variable in pairs])
        self._iterations.assign_add(1)
        return self._iterations

    def get_config(self) -> dict[str, Any]:
        """What makes this optimizer again."""
        serialize = keras.optimizers.serialize
        return {
            "name": self.name,
            "wide": serialize(self.wide),
            "deep": serialize(self.deep),
            "wide_prefix": self.wide_prefix,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "TwoOptimizers":
        """The optimizer that `get_config` describes."""
        parts = {
            part: keras.optimizers.deserialize(config[part], custom_objects=custom_objects) for part in ("wide", "deep")
        }
        return cls(**{**config, **parts})

    def _split(self, values: list[Any], variables: list[Any]) -> tuple[list[Any], list[Any]]:
        pairs = list(zip(values, variables, strict=True))
        wide = [pair for pair in pairs if pair[1].path.startswith(self.wide_prefix)]
        return wide, [pair for pair in pairs if not pair[1].path.startswith(self.wide_prefix)]
