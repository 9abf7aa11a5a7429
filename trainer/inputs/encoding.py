"""Arrow columns to encoded NumPy columns: the way of every row from a file, whatever the format.

    encoded = encode(spec, table)          # ValueError when any row cannot be trained on
    inspected = inspect(spec, table)       # then: the rows that can be, and what is wrong with the others

A column may have any Arrow type that says the same thing: words as text, dictionaries or booleans; numbers as text,
integers or decimals; vectors as lists, and pixels as their bytes too. Which text is a number is for Arrow alone to say.
"""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import compute

from trainer.errors import RunError
from trainer.inputs.spec import MISSING, Columns, Feature, InputSpec, concatenate


ARROW_ERRORS = (ValueError, pa.ArrowException)
MISSING_WORD = "None"
LEAST_UNKNOWN = 10
FLOAT32_MAX = float(np.finfo(np.float32).max)


class Encoded(NamedTuple):
    """Encoded rows, and the count of each word of the string columns with words from outside their vocabularies."""

    columns: Columns
    words: dict[str, Counter[str]]


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be trained on. `number` is its index, or its line in a file, counted from 1."""

    number: int
    problem: str


@dataclass(frozen=True)
class Inspected:
    """The good rows of some, and the bad ones in order."""

    good: Encoded
    bad: list[BadRow]


def encode(spec: InputSpec, table: pa.Table) -> Encoded:
    """Encode the columns of a table that hold the features and the label. A bad row raises one of `ARROW_ERRORS`."""
    if not table.num_rows:  # of any type
        return Encoded(concatenate(spec, []), {})
    encoded = Encoded({}, {})
    for feature in spec.read:
        encoded.columns[feature.name], words = _values(spec, feature, table.column(feature.name))
        if words:
            encoded.words[feature.name] = words
    return encoded


def inspect(spec: InputSpec, table: pa.Table) -> Inspected:
    """Encode the good rows of a table and say what is wrong with the bad ones."""
    problems: dict[int, str] = {}
    for feature in spec.read:
        column = table.column(feature.name)
        absent = _absent(spec, feature, column)
        (present,) = np.nonzero(~absent)
        refused = _refused(spec, feature, column.filter(pa.array(~absent)))
        for row in [*np.flatnonzero(absent).tolist(), *(int(present[i]) for i in refused)]:
            problems.setdefault(row, f"column {feature.name}: {_problem(feature, column[row].as_py())}")
    good = np.ones(table.num_rows, bool)
    good[list(problems)] = False
    return Inspected(encode(spec, table.filter(pa.array(good))), [BadRow(i, problems[i]) for i in sorted(problems)])


def check_vocabulary(spec: InputSpec, words: dict[str, Counter[str]], path: str) -> None:
    """Raise `RunError` for a string column that does not speak its vocabulary: `true` where it should say `True`.

    That is one with more than twice as many unknown words as known ones, or where a word comes more often in another
    spelling than in the vocabulary's. A few strange words are no error: that is what unknown words are for.
    """
    for feature in spec.features:
        counts = words.get(feature.name, Counter())
        known = {word: counts[word] for word in feature.vocabulary}
        unknown = Counter({word: n for word, n in counts.items() if word not in known and word not in MISSING})
        spelling = {_folded(word): word for word in known}
        respelled = Counter({w: n for w, n in unknown.items() if n > known.get(spelling.get(_folded(w), ""), n)})
        mostly = unknown.total() > 2 * sum(known.values())
        if unknown.total() >= LEAST_UNKNOWN and (mostly or respelled):
            word = (respelled or unknown).most_common(1)[0][0]
            raise RunError(
                f"{path}: column {feature.name}: {unknown.total():,} of {unknown.total() + sum(known.values()):,} "
                f"values are not in the vocabulary, such as {word!r}; expected one of "
                f"{', '.join(map(repr, feature.vocabulary))}"
            )


def _folded(word: str) -> str:
    return word.strip().casefold()


def _values(spec: InputSpec, feature: Feature, column: pa.ChunkedArray) -> tuple[np.ndarray, Counter[str]]:
    """The encoded values of one column, (N, *shape), and the count of its words where some are unknown."""
    if pa.types.is_dictionary(column.type) and not pa.types.is_string(column.type.value_type):
        column = column.cast(column.type.value_type)
    if feature.vocabulary:
        positions, words = _positions(feature, column)
        if feature == spec.label and (positions == len(feature.vocabulary)).any():
            raise ValueError(feature.name)
        return positions, words
    if feature.shape:
        return _vectors(feature, column), Counter()
    return _numbers(feature, column), Counter()


def _positions(feature: Feature, column: pa.ChunkedArray) -> tuple[np.ndarray, Counter[str]]:
    """int32 vocabulary positions (N,). A null is the word `None` where the vocabulary has it, as in a text file."""
    column = texts(feature, column)
    outside = len(feature.vocabulary)
    position: dict[str | None, int] = {word: i for i, word in enumerate(feature.vocabulary)}
    position[None] = position.get(MISSING_WORD, outside)
    parts, counts = [np.zeros(0, np.int32)], Counter[str]()
    for chunk in column.chunks:
        words = [*chunk.dictionary.to_pylist(), None]
        codes = chunk.indices.cast(pa.int32()).fill_null(len(words) - 1).to_numpy(zero_copy_only=False)
        parts.append(np.array([position.get(word, outside) for word in words], np.int32)[codes])
        if any(word not in position for word in words):
            found = np.bincount(codes, minlength=len(words))
            counts.update({word: int(count) for word, count in zip(words, found, strict=True) if word is not None})
    return np.concatenate(parts), counts


def _numbers(feature: Feature, column: pa.ChunkedArray) -> np.ndarray:
    """float32 or int32 values (N,); a missing one becomes the default. None may be infinite, or not fit in 32 bits."""
    column = numeric(column)
    if feature.dtype == "int64":
        if column.null_count:
            raise ValueError(feature.name)
        return np.asarray(column.cast(pa.int32()).to_numpy(), np.int32)
    values = np.asarray(_floats(column).to_numpy(), np.float32)
    finite = np.isfinite(values)
    if not finite.all():
        if feature.default is None or np.isinf(values).any():
            raise ValueError(feature.name)
        values = np.where(finite, values, np.float32(feature.default))
    return values


def _vectors(feature: Feature, column: pa.ChunkedArray) -> np.ndarray:
    """(N, *shape) finite values out of lists, or the bytes of pixels."""
    size = math.prod(feature.shape)
    values = column.combine_chunks()
    if pa.types.is_binary(values.type) and feature.scale is not None:
        content = [value or b"" for value in values.to_pylist()]
        if any(len(value) != size for value in content):
            raise ValueError(feature.name)
        return np.frombuffer(b"".join(content), np.uint8).reshape(-1, *feature.shape)
    if not compute.all(compute.equal(compute.list_value_length(values), size).fill_null(False)).as_py():
        raise ValueError(feature.name)
    numbers: np.ndarray = _floats(numeric(values.flatten())).to_numpy(zero_copy_only=False)
    numbers = numbers.reshape(-1, *feature.shape)
    if feature.scale is not None:
        numbers = np.rint(numbers / feature.scale)
        if ((numbers < 0) | (numbers > 255)).any():
            raise ValueError(feature.name)
    if not np.isfinite(numbers).all():
        raise ValueError(feature.name)
    return numbers.astype(feature.stored_dtype)


def texts(feature: Feature, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of words as a dictionary of text, out of text, bytes of it, dictionaries or booleans."""
    if pa.types.is_boolean(column.type):
        yes, no = ("true", "false") if "true" in feature.vocabulary else ("True", "False")
        column = compute.if_else(column, yes, no)
    return column if pa.types.is_dictionary(column.type) else column.cast(pa.string()).dictionary_encode()


def numeric(column: Any) -> Any:
    """An Arrow array of numbers out of one of text, numbers or booleans."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_boolean(column.type):
        return column.cast(pa.int8())
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column
    trimmed = compute.ascii_trim(column, " \t")  # as Arrow's own reader of CSV does
    return compute.if_else(
        compute.is_in(trimmed, pa.array(MISSING, column.type)), pa.scalar(None, column.type), trimmed
    )


def _floats(column: Any) -> Any:
    return column.cast(pa.float32(), safe=False)  # rounding is fine


def _absent(spec: InputSpec, feature: Feature, column: pa.ChunkedArray) -> np.ndarray:
    """Where a row is bad since it lacks a number, or its label is no word of the vocabulary: the usual kinds, fast."""
    if feature == spec.label and feature.vocabulary and not pa.types.is_binary(column.type):
        return np.asarray(_positions(feature, column)[0] == len(feature.vocabulary))
    if feature.vocabulary or feature.shape or feature.default is not None:
        return np.zeros(len(column), bool)
    return np.asarray(compute.is_null(numeric(column), nan_is_null=True).to_numpy(zero_copy_only=False), bool)


def _refused(spec: InputSpec, feature: Feature, column: pa.ChunkedArray, first: int = 0) -> Iterator[int]:
    """The bad rows of a column, found by halving: by definition what `encode` refuses."""
    try:
        _values(spec, feature, column)
    except ARROW_ERRORS:
        if len(column) == 1:
            yield first
        else:
            half = len(column) // 2
            yield from _refused(spec, feature, column.slice(0, half), first)
            yield from _refused(spec, feature, column.slice(half), first + half)


def _problem(feature: Feature, value: Any) -> str:
    """What is wrong with a value that is known to be bad."""
    if feature.vocabulary:
        return f"{value!r} is not one of {', '.join(map(repr, feature.vocabulary))}"
    if feature.shape:
        return _vector_problem(feature, value)
    text = str(value).strip()
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if text in MISSING or math.isnan(number):
        return f"{value!r} is a missing value, expected a number"
    if feature.dtype == "int64":
        return f"{value!r} is not an integer of at most 32 bits"
    return f"{value!r} is not a{' finite' if abs(number) > FLOAT32_MAX else ''} number"


def _vector_problem(feature: Feature, value: Any) -> str:
    size = math.prod(feature.shape)
    if not isinstance(value, (list, bytes)):
        return f"{value!r} is not a list of {size} numbers"
    if len(value) != size:
        return f"{len(value)} {'bytes' if isinstance(value, bytes) else 'values'}, expected {size}"
    return f"not all of the {size} values are finite numbers{' from 0 to 1' if feature.scale is not None else ''}"
