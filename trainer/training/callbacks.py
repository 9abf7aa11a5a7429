"""Keras callbacks in a loop whose epochs are its stops.

`on_epoch_begin` and `on_epoch_end` come once a stop, `on_train_batch_end` once a call of many steps. A callback's
plain attributes, such as EarlyStopping's `wait` and `best`, are part of a checkpoint.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras


def start(callbacks: Sequence[keras.callbacks.Callback], model: keras.Model) -> keras.callbacks.CallbackList:
    """The callbacks, attached to the model and told that training begins."""
    model.stop_training = False
    attached = keras.callbacks.CallbackList(list(callbacks), add_history=False, add_progbar=False, model=model)
    attached.on_train_begin()
    return attached


def save(callbacks: keras.callbacks.CallbackList) -> list[dict[str, Any]]:
    """The plain attributes of each callback, as JSON."""
    return [
        {name: float(value) if hasattr(value, "dtype") else value for name, value in vars(c).items() if _plain(value)}
        for c in callbacks.callbacks
    ]


def restore(callbacks: keras.callbacks.CallbackList, saved: Sequence[Mapping[str, Any]]) -> None:
    """Give the callbacks the attributes that `save` returned; they must be the same ones in the same order."""
    for callback, attributes in zip(callbacks.callbacks, saved, strict=False):
        for name, value in attributes.items():
            setattr(callback, name, value)


def _plain(value: Any) -> bool:
    if hasattr(value, "dtype"):
        return getattr(value, "shape", None) == ()  # a NumPy number
    return value is None or isinstance(value, (bool, int, float, str))
