"""What a served model takes: the keys of a request and the way from them to the model."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trainer.errors import UsageError


if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

RESERVED = ("self", "None", "True", "False")


@dataclass(frozen=True)
class ServingInput:
    """What a request holds, and how it becomes what the model eats.

    Raises `UsageError` for keys that a SavedModel would serve under another name, or not at all.
    """

    request: "Mapping[str, tf.TensorSpec]"  # by request key; the first dimension is the batch
    features_fn: Callable[[dict[str, Any]], Any]  # request tensors -> the model's input; a tf.Module if it has tables
    forward: tuple[str, ...] = ()  # request keys that the response repeats and the model does not get
    schema: Mapping[str, Any] = field(default_factory=dict)  # the content of schema.json
    golden: "Mapping[str, np.ndarray]" = field(default_factory=dict)  # a few request rows, for warm-up

    def __post_init__(self) -> None:
        seen: dict[str, str] = {}
        for key in self.request:
            if not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", key) or key in RESERVED:
                raise UsageError(f"request key {key!r}: expected a letter, then letters, digits and _")
            other = seen.setdefault(key.lower(), key)  # names in a graph differ by more than case
            if other != key:
                raise UsageError(f"request keys {other!r} and {key!r}: expected more than case to differ")
        for key in self.forward:
            if key not in self.request:
                raise UsageError(f"request key {key!r}: forwarded, but not in the request {', '.join(self.request)}")
