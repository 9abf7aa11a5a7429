"""The columns of a training file, made of raw births, and each row as a line of text.

    table = layouts.babyweight(kept)       # the ten columns of 2017 but for the key
    lines = layouts.lines(table)           # "7.25,True,26,Asian Indian,1,39.0,True,False,None"
    keys = layouts.keys(lines)             # sha224 of each, 28 bytes

A missing value is the word `None`, and true and false are `True` and `False`, in both formats of the output: a model's
vocabulary has these words.
"""

import hashlib
from collections.abc import Callable

import pyarrow as pa
from pyarrow import compute

from trainer.preprocessing import births


KEY = "key"
KEY_TYPE = pa.binary(28)
MISSING_WORD = "None"
NAMES = ("Single(1)", "Twins(2)", "Triplets(3)", "Quadruplets(4)", "Quintuplets(5)")
SINGLE, MULTIPLE = NAMES[0], "Multiple(2+)"
UNKNOWN = "Unknown"  # the sex, before an ultrasound


def babyweight(kept: pa.Table) -> pa.Table:
    """A row a birth, in the columns that `--experiment babyweight` reads."""
    return pa.table(
        {
            "weight_pounds": kept["weight_pounds"],
            "is_male": _words(kept["is_male"]),
            "mother_age": kept["mother_age"],
            "mother_race": births.races(kept["mother_race"]),
            "plurality": kept["plurality"],
            "gestation_weeks": kept["gestation_weeks"].cast(pa.float64()),
            "mother_married": _words(kept["mother_married"]),
            "cigarette_use": _words(kept["cigarette_use"]),
            "alcohol_use": _words(kept["alcohol_use"]),
        }
    )


def ultrasound(kept: pa.Table) -> pa.Table:
    """Two rows a birth, with and without an ultrasound: sex unknown then, and of plurality only whether it is one.

    The columns are those of training-data-analyst's babyweight of 2018.
    """
    number = kept["plurality"]
    named = pa.array([*NAMES, MULTIPLE]).take(compute.min_element_wise(compute.subtract(number, 1), len(NAMES)))
    seen = _ultrasound(kept, _words(kept["is_male"]), named)
    unknown = pa.chunked_array([pa.array([UNKNOWN] * kept.num_rows, pa.string())])
    unseen = _ultrasound(kept, unknown, compute.if_else(compute.greater(number, 1), MULTIPLE, SINGLE))
    return pa.concat_tables([seen, unseen])


LAYOUTS: dict[str, Callable[[pa.Table], pa.Table]] = {"babyweight": babyweight, "ultrasound": ultrasound}


def lines(table: pa.Table) -> pa.Array:
    """Each row as text, as Python writes its values, joined by commas."""
    texts = [_text(table.column(name).combine_chunks()) for name in table.column_names]
    return compute.binary_join_element_wise(*texts, ",")


def keys(lines: pa.Array) -> pa.Array:
    """The sha224 of each line."""
    sha224 = hashlib.sha224
    content = b"".join([sha224(line).digest() for line in lines.cast(pa.binary()).to_numpy(zero_copy_only=False)])
    return pa.FixedSizeBinaryArray.from_buffers(KEY_TYPE, len(lines), [None, pa.py_buffer(content)])


def _ultrasound(kept: pa.Table, is_male: pa.ChunkedArray, plurality: pa.ChunkedArray) -> pa.Table:
    return pa.table(
        {
            "weight_pounds": kept["weight_pounds"],
            "is_male": is_male,
            "mother_age": kept["mother_age"],
            "plurality": plurality,
            "gestation_weeks": kept["gestation_weeks"].cast(pa.float64()),
        }
    )


def _words(answers: pa.ChunkedArray) -> pa.ChunkedArray:
    return compute.if_else(answers, "True", "False").fill_null(MISSING_WORD)


def _text(values: pa.Array) -> pa.Array:
    """Values as `str` has them; Arrow writes some floats another way."""
    if not pa.types.is_floating(values.type):
        return values.cast(pa.string())
    distinct = values.dictionary_encode()  # weights are whole grams, and weeks whole weeks: there are few
    return pa.array([repr(value) for value in distinct.dictionary.to_pylist()], pa.string()).take(distinct.indices)
