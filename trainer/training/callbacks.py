"""Keras callbacks in a loop whose epochs are its stops.

`on_epoch_begin` and `on_epoch_end` come once a stop, `on_train_batch_end` once a call of many steps. What a callback
gathers while it runs, such as EarlyStopping's `wait`, `best` and `best_weights`, is part of a checkpoint.
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from trainer.errors import UsageError
from trainer.storage import paths


ARRAYS = "callbacks.npz"


def start(callbacks: Sequence[keras.callbacks.Callback], model: keras.Model) -> keras.callbacks.CallbackList:
    """The callbacks, attached to the model and told that training begins. Raises `UsageError` for what is no list."""
    if not isinstance(callbacks, Sequence):
        raise UsageError(f"callbacks: returned a {type(callbacks).__name__}; expected a list of Keras callbacks")
    model.stop_training = False
    attached = keras.callbacks.CallbackList(list(callbacks), add_history=False, add_progbar=False, model=model)
    attached.on_train_begin()
    return attached


def save(callbacks: keras.callbacks.CallbackList, folder: str) -> list[dict[str, Any]]:
    """What each callback has gathered: plain values as JSON, lists of weights as a file in a checkpoint's folder."""
    plain: list[dict[str, Any]] = []
    arrays: dict[str, np.ndarray] = {}
    for i, callback in enumerate(callbacks.callbacks):
        plain.append({})
        for name, value in _gathered(callback).items():
            if isinstance(value, list) and value and all(isinstance(item, np.ndarray) for item in value):
                arrays |= {f"{i}/{name}/{j}": item for j, item in enumerate(value)}
            elif value is None or isinstance(value, (bool, int, float, str)):
                plain[-1][name] = value
            elif getattr(value, "shape", None) == ():  # a NumPy number
                plain[-1][name] = value.item()
    if arrays:
        np.savez(f"{folder}/{ARRAYS}", **arrays)  # type: ignore[arg-type]
    return plain


def restore(callbacks: keras.callbacks.CallbackList, folder: str, plain: Sequence[Mapping[str, Any]]) -> None:
    """Give the callbacks what `save` took; they must be the same ones in the same order."""
    for callback, values in zip(callbacks.callbacks, plain, strict=False):
        for name, value in values.items():
            setattr(callback, name, value)
    if not paths.exists(paths.join(folder, ARRAYS)):
        return
    weights: dict[tuple[str, str], list[np.ndarray]] = {}
    with paths.open_input(paths.join(folder, ARRAYS)) as file, np.load(file) as arrays:
        for key in arrays.files:  # in the order in which they were saved
            i, name, _ = key.split("/")
            weights.setdefault((i, name), []).append(arrays[key])
    for (i, name), value in weights.items():
        setattr(callbacks.callbacks[int(i)], name, value)


def _gathered(callback: keras.callbacks.Callback) -> dict[str, Any]:
    """The attributes that the constructor was not given: those it was given are the same in every process."""
    given = inspect.signature(type(callback).__init__).parameters
    return {name: value for name, value in vars(callback).items() if name not in given and not name.startswith("_")}
