"""Two optimizers for one model, as canned wide & deep estimators have."""

from typing import Any

import keras

from trainer.errors import UsageError


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
