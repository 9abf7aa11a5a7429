"""What the columns of an experiment are: one description for reading, training, serving and `schema.json`.

    spec = InputSpec(
        features=(category("is_male", ("True", "False")), number("mother_age", unit="years", default=27.0)),
        label=number("weight_pounds", unit="pounds"),
        columns=("weight_pounds", "is_male", "mother_age", "key"),
    )

A feature is encoded the same way in training (here, by NumPy) and in the serving graph (`tensors.py`): the words of a
vocabulary become their position in it, and an unknown or missing word becomes `len(vocabulary)`, which `one_hot` turns
into zeros; a missing number becomes `default`; bytes of pixels are multiplied by `scale`.
"""

import math
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from trainer.errors import UsageError


MISSING = ("", "None", "NaN", "nan", "null", "NULL", "NA")
"""The texts that stand for a missing value in a text file."""


@dataclass(frozen=True)
class Feature:
    """One column. A request has `shape` of `dtype` an example; the model gets `(B, *shape)`, `(B, 1)` for a scalar."""

    name: str
    dtype: str = "float32"  # of the request and of the file: float32, int64 or string
    shape: tuple[int, ...] = ()
    vocabulary: tuple[str, ...] = ()  # of a string feature
    unit: str | None = None
    default: float | None = None  # of a float32 scalar: stands in for a missing one; None makes such a row a bad one
    scale: float | None = None  # stored as uint8 and multiplied by this
    record: str | None = None  # the key of the raw uint8 bytes in a tf.Example, where it is not the name
    minimum: float | None = None  # of a number, as far as sense goes: `trainer.data check` finds what is beyond
    maximum: float | None = None

    @property
    def model_shape(self) -> tuple[int, ...]:
        """The shape of one example as the model gets it."""
        return self.shape or (1,)

    @property
    def model_dtype(self) -> str:
        """The dtype of the encoded values as the model gets them."""
        return "int32" if self.vocabulary or self.dtype == "int64" else "float32"

    @property
    def stored_dtype(self) -> str:
        """The dtype of the encoded values in memory."""
        return "uint8" if self.scale is not None else self.model_dtype

    @property
    def stored_bytes(self) -> int:
        """The size of one encoded example in memory."""
        return np.dtype(self.stored_dtype).itemsize * math.prod(self.shape)


def number(
    name: str,
    *,
    unit: str | None = None,
    default: float | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
) -> Feature:
    """A float32 scalar. One beyond `minimum` or `maximum` is trained on; `trainer.data check` finds it."""
    return Feature(name, unit=unit, default=default, minimum=minimum, maximum=maximum)


def category(name: str, vocabulary: tuple[str, ...]) -> Feature:
    """A word of a known vocabulary; int32 positions for the model."""
    return Feature(name, dtype="string", vocabulary=vocabulary)


def integer(name: str) -> Feature:
    """An int64 scalar, such as a class; int32 for the model."""
    return Feature(name, dtype="int64")


def vector(name: str, size: int) -> Feature:
    """`size` float32 values an example."""
    return Feature(name, shape=(size,))


def pixels(name: str, size: int, *, record: str | None = None) -> Feature:
    """`size` bytes an example, float32 in [0, 1] for the model and in a request."""
    return Feature(name, shape=(size,), scale=1 / 255, record=record)


@dataclass(frozen=True)
class InputSpec:
    """The features, the label, and the order of the columns in a file without a header."""

    features: tuple[Feature, ...]
    label: Feature
    columns: tuple[str, ...] = ()  # default: the features, then the label
    key: str | None = None  # a column that identifies the example; not trained on

    def __post_init__(self) -> None:
        if not self.columns:
            object.__setattr__(self, "columns", tuple(f.name for f in self.read))
        for names in ([f.name for f in self.read], self.columns):
            twice = [name for name, count in Counter(names).items() if count > 1]
            if twice:
                raise UsageError(f"column {twice[0]}: named twice; expected each name once")
        if self.label.default is not None:
            raise UsageError(f"label {self.label.name}: a label has no default; a row without a label is a bad one")
        for feature in self.read:
            if (feature.dtype == "string") != bool(feature.vocabulary):
                raise UsageError(
                    f"feature {feature.name}: a string feature needs a vocabulary, and only a string has one"
                )
            if feature.default is not None and (feature.dtype != "float32" or feature.shape):
                raise UsageError(f"feature {feature.name}: only a float32 scalar has a default")
            if feature.dtype == "int64" and feature.shape:
                raise UsageError(f"feature {feature.name}: a vector is of float32; expected no shape with int64")
            limits = [limit for limit in (feature.minimum, feature.maximum) if limit is not None]
            if limits != sorted(limits):
                raise UsageError(
                    f"feature {feature.name}: minimum {feature.minimum} is above maximum {feature.maximum}; "
                    "expected it below"
                )
            if feature.name not in self.columns:
                raise UsageError(f"feature {feature.name}: not among the columns {', '.join(self.columns)}")

    @property
    def read(self) -> tuple[Feature, ...]:
        """What is read from a file: the features and the label."""
        return (*self.features, self.label)

    @property
    def stored_bytes(self) -> int:
        """The size of one encoded row in memory."""
        return sum(feature.stored_bytes for feature in self.read)

    def schema(self) -> dict[str, Any]:
        """The content of `schema.json`: what a request holds, with vocabularies and units."""
        keep = ("dtype", "shape", "vocabulary", "unit", "default")
        return {
            "columns": list(self.columns),
            "label": self.label.name,
            "label_unit": self.label.unit,
            "key": self.key,
            "features": {f.name: {k: v for k, v in asdict(f).items() if k in keep} for f in self.features},
        }


Columns = dict[str, np.ndarray]
"""Encoded columns by name, `(N,)` or `(N, *shape)` each, of `stored_dtype`."""


def concatenate(spec: InputSpec, parts: list[Columns]) -> Columns:
    """One set of columns out of several, or out of none."""
    if len(parts) == 1:
        return parts[0]
    empty = {f.name: np.zeros((0, *f.shape), f.stored_dtype) for f in spec.read}
    return {name: np.concatenate([part[name] for part in (parts or [empty])]) for name in empty}


def take_rows(columns: Columns, rows: np.ndarray | slice) -> Columns:
    """The rows at some indices, or a view of a slice of them."""
    return {name: values[rows] for name, values in columns.items()}


def count_rows(columns: Columns) -> int:
    """How many rows the columns have."""
    return len(next(iter(columns.values())))


def batch_values(feature: Feature, stored: np.ndarray) -> np.ndarray:
    """Stored values as the model gets them: `(..., )` -> `(..., 1)` for a scalar, scaled for pixels."""
    if feature.scale is not None:
        return stored.astype(np.float32) * np.float32(feature.scale)
    return stored if feature.shape else stored[..., None]


def split(spec: InputSpec, columns: Columns) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """(features by name, label) of columns with any leading shape, as the model gets them."""
    features = {f.name: batch_values(f, columns[f.name]) for f in spec.features}
    return features, batch_values(spec.label, columns[spec.label.name])
