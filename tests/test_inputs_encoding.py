"""Arrow columns of every useful type become the same encoded columns, and bad rows are named."""

from collections import Counter
from datetime import date
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from trainer.errors import RunError
from trainer.inputs import encoding
from trainer.inputs.spec import InputSpec, category, integer, number, pixels, vector


SMOKES = category("smokes", ("True", "False", "None"))
SPEC = InputSpec((SMOKES, number("age", default=27.0)), number("weight"))


def table(smokes=("True", "False"), age=(1.0, 2.0), weight=(3.0, 4.0)):
    return pa.table({"smokes": smokes, "age": age, "weight": weight})


def encoded(spec=SPEC, **columns):
    return {name: values.tolist() for name, values in encoding.encode(spec, table(**columns)).columns.items()}


def only(feature, *values):
    return InputSpec((feature,), number("y")), pa.table({feature.name: values[0], "y": [0.0] * len(values[0])})


def first_problem(spec, rows):
    with pytest.raises(encoding.ARROW_ERRORS):
        encoding.encode(spec, rows)
    return encoding.inspect(spec, rows).bad[0].problem


@pytest.mark.parametrize(
    "words",
    [
        pa.array(["False", None, "True", "maybe"]),
        pa.array(["False", None, "True", "maybe"], pa.large_string()),
        pa.array(["False", None, "True", "maybe"]).dictionary_encode(),
        pa.array(["False", None, "True", "maybe"]).cast(pa.dictionary(pa.int8(), pa.large_string())),
        pa.array([b"False", None, b"True", b"maybe"]),
    ],
    ids=lambda array: str(array.type).replace(" ", ""),
)
def test_words_become_positions_whatever_their_type(words):
    spec, rows = only(SMOKES, words)

    assert encoding.encode(spec, rows).columns["smokes"].tolist() == [1, 2, 0, 3]


def test_booleans_are_the_words_of_the_vocabulary():
    flags = pa.array([True, False, None])
    upper, lower = only(SMOKES, flags), only(category("smokes", ("false", "true")), flags)

    assert encoding.encode(*upper).columns["smokes"].tolist() == [0, 1, 2]
    assert encoding.encode(*lower).columns["smokes"].tolist() == [1, 0, 2]


@pytest.mark.parametrize(
    "ages",
    [
        pa.array([20.0, None]),
        pa.array([20.0, float("nan")]),
        pa.array([20, None]),
        pa.array([" 20", "None"]),
        pa.array(["2e1", ""]),
        pa.array([Decimal("20.0"), None]),
        pa.array(["20", None]).dictionary_encode(),
    ],
    ids=lambda array: str(array.type).replace(" ", ""),
)
def test_numbers_become_float32_and_missing_ones_the_default(ages):
    assert encoded(age=ages)["age"] == [20.0, 27.0]


def test_booleans_are_0_and_1_for_a_number():
    assert encoded(age=pa.array([True, False]))["age"] == [1.0, 0.0]


def test_large_integers_are_rounded_to_float32():
    assert encoded(age=pa.array([2**24 + 1, 0]))["age"] == [2.0**24, 0.0]


@pytest.mark.parametrize(
    "values",
    [pa.array([[1.0, 2.0], [3.0, 4.0]]), pa.array([[1, 2], [3, 4]], pa.list_(pa.int16(), 2)), [["1", "2"], ["3", "4"]]],
    ids=["list", "fixed_size_list", "list_of_text"],
)
def test_lists_become_vectors(values):
    assert encoding.encode(*only(vector("v", 2), values)).columns["v"].tolist() == [[1, 2], [3, 4]]


def test_pixels_are_read_from_bytes_and_from_numbers():
    as_bytes, as_numbers = only(pixels("p", 2), [b"\x00\xff", b"\x01\x02"]), only(pixels("p", 2), [[0.0, 1.0]])

    assert encoding.encode(*as_bytes).columns["p"].tolist() == [[0, 255], [1, 2]]
    assert encoding.encode(*as_numbers).columns["p"].tolist() == [[0, 255]]
    assert encoding.encode(*as_numbers).columns["p"].dtype == np.uint8


@pytest.mark.parametrize(
    ("feature", "value", "problem"),
    [
        (number("n"), [None], "column n: None is a missing value, expected a number"),
        (number("n"), ["NAN"], "column n: 'NAN' is a missing value, expected a number"),
        (number("n"), ["many"], "column n: 'many' is not a number"),
        (number("n"), ["1_000"], "column n: '1_000' is not a number"),
        (number("n"), ["inf"], "column n: 'inf' is not a finite number"),
        (number("n", default=1.0), ["-inf"], "column n: '-inf' is not a finite number"),
        (number("n"), [1e39], "column n: 1e+39 is not a finite number"),
        (number("n"), [date(2001, 1, 1)], "column n: datetime.date(2001, 1, 1) is not a number"),
        (integer("n"), [3.5], "column n: 3.5 is not an integer of at most 32 bits"),
        (integer("n"), ["1e5"], "column n: '1e5' is not an integer of at most 32 bits"),
        (integer("n"), [2**31], "column n: 2147483648 is not an integer of at most 32 bits"),
        (integer("n"), [None], "column n: None is a missing value, expected a number"),
        (vector("v", 2), [[1.0]], "column v: 1 values, expected 2"),
        (vector("v", 2), [[1.0, None]], "column v: not all of the 2 values are finite numbers"),
        (vector("v", 2), [1.0], "column v: 1.0 is not a list of 2 numbers"),
        (pixels("p", 2), [b"\x01"], "column p: 1 bytes, expected 2"),
        (pixels("p", 2), [[0.0, 7.0]], "column p: not all of the 2 values are finite numbers from 0 to 1"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(feature, value, problem):
    spec, rows = only(feature, value)

    assert first_problem(spec, rows) == problem


def test_a_label_outside_its_vocabulary_is_a_bad_row():
    spec = InputSpec((number("age"),), category("kind", ("cat", "dog")))
    rows = pa.table({"age": [1.0, 2.0, 3.0], "kind": ["dog", "cow", None]})

    inspected = encoding.inspect(spec, rows)

    assert inspected.good.columns["kind"].tolist() == [1]
    assert [row.problem for row in inspected.bad] == [
        "column kind: 'cow' is not one of 'cat', 'dog'",
        "column kind: None is not one of 'cat', 'dog'",
    ]


def test_a_label_that_is_not_utf_8_is_a_bad_row():
    spec = InputSpec((number("age"),), category("kind", ("cat", "dog")))

    assert first_problem(spec, pa.table({"age": [1.0], "kind": [b"\xff"]})) == (
        "column kind: b'\\xff' is not one of 'cat', 'dog'"
    )


def test_inspecting_finds_every_bad_row_once_and_keeps_the_others():
    ages = [str(i) if i % 7 else "x" for i in range(100)]
    weights = [float(i) if i % 5 else float("nan") for i in range(100)]
    rows = table(["True"] * 100, ages, weights)

    inspected = encoding.inspect(SPEC, rows)

    expected = [i for i in range(100) if i % 7 == 0 or i % 5 == 0]
    assert [row.number for row in inspected.bad] == expected
    assert inspected.good.columns["age"].tolist() == [i for i in range(100) if i not in expected]


def test_rows_of_an_unusable_type_are_all_bad_and_none_is_left():
    inspected = encoding.inspect(SPEC, table(age=[date(2001, 1, 1)] * 2))

    assert len(inspected.bad) == 2
    assert inspected.good.columns["age"].shape == (0,)


def refusal(**counts):
    with pytest.raises(RunError) as error:
        encoding.check_vocabulary(SPEC, {"smokes": Counter(counts)}, "train.csv")
    return str(error.value)


def test_a_column_of_mostly_unknown_words_stops_the_run():
    assert refusal(yes=30, no=40, True_=1) == (
        "train.csv: column smokes: 71 of 71 values are not in the vocabulary, such as 'no'; "
        "expected one of 'True', 'False', 'None'"
    )


def test_words_in_another_spelling_stop_the_run_even_where_most_words_are_known():
    # As BigQuery writes booleans, in a file where half of the rows say None.
    assert "40 of 90 values are not in the vocabulary, such as 'true'" in refusal(
        true=25, false=15, None_=0, **{"None": 50}
    )


@pytest.mark.parametrize(
    "counts",
    [
        {"True": 20, "false": 12, "False": 13},
        {"True": 50, "unheard": 50},
        {"yes": 9},
        {"": 100, "NA": 100, "True": 1},
    ],
)
def test_a_few_strange_words_and_any_number_of_missing_ones_are_fine(counts):
    encoding.check_vocabulary(SPEC, {"smokes": Counter(counts)}, "train.csv")


def test_words_are_counted_only_where_some_are_unknown():
    assert encoding.encode(SPEC, table(smokes=["True", "None"])).words == {}
    assert encoding.encode(SPEC, table(smokes=["True", "no"])).words == {"smokes": Counter({"True": 1, "no": 1})}
