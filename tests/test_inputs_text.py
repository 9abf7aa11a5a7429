"""Blocks of CSV text: the fast way and the careful one agree, and a bad line is named."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trainer.errors import UsageError
from trainer.inputs import encoding, text
from trainer.inputs.spec import InputSpec, category, integer, number


SPEC = InputSpec(
    (category("sex", ("True", "False")), number("age", default=27.0), integer("count")),
    number("weight"),
    columns=("weight", "sex", "age", "count", "key"),
)
NAMES = SPEC.columns


def as_lists(columns):
    return {name: values.tolist() for name, values in columns.items()}


def first_problem(block):
    with pytest.raises(encoding.ARROW_ERRORS):
        text.parse(SPEC, block, NAMES)
    bad = text.inspect(SPEC, block, NAMES).bad[0]
    return bad.number, bad.problem


def test_rows_become_columns():
    columns = text.parse(SPEC, b"7.5,True,26,1,a\n6,no,None,2,b\n", NAMES).columns

    assert as_lists(columns) == {"sex": [0, 2], "age": [26.0, 27.0], "count": [1, 2], "weight": [7.5, 6.0]}
    assert {str(values.dtype) for values in columns.values()} == {"int32", "float32"}


@pytest.mark.parametrize(
    "block",
    [
        b"7.5,True,26,1,a\n6,False,30,2,b",
        b"7.5,True,26,1,a\r\n6,False,30,2,b\r\n",
        b"\n7.5,True,26,1,a\n\n\n6,False,30,2,b\n\n",
        b"\xef\xbb\xbf7.5,True,26,1,a\n6,False,30,2,b\n",
        b'7.5,"True","26",1,"a, or ""A"""\n6,False,30,2,b\n',
        b" 7.5,True,26 , 1,a\n6,False,\t30,2,b\n",
    ],
    ids=["no_last_line_end", "crlf", "blank_lines", "bom", "quoted", "spaces"],
)
def test_both_ways_read_what_csv_allows(block):
    expected = {"sex": [0, 1], "age": [26.0, 30.0], "count": [1, 2], "weight": [7.5, 6.0]}

    assert as_lists(text.parse(SPEC, block, NAMES).columns) == expected
    assert as_lists(text.inspect(SPEC, block, NAMES).good.columns) == expected
    assert text.inspect(SPEC, block, NAMES).bad == []


CELLS = st.one_of(
    st.sampled_from(
        [
            *("", "None", "NaN", "nan", "NAN", "-nan", "null", "NA", "inf", "-Infinity", " 3", "3 ", "\t3", "1_000"),
            *("0x10", "+5", "1e5", "1E+5", "5.", ".5", "1e39", "1e-60", "007", "-0", "1.0", "3000000000", "--1", "1 2"),
            *("١", "é", '"7"', '"None"'),
        ]
    ),
    st.text(st.sampled_from("0123456789+-.eEx_ nainf"), max_size=6),
)  # fmt: skip


@given(CELLS, st.sampled_from(["weight", "age", "count"]))
@example("\x00", "age")
def test_the_careful_way_accepts_what_the_fast_one_does_and_with_the_same_value(cell, column):
    good = {"weight": "7.5", "sex": "True", "age": "26", "count": "1", "key": "a"}
    block = ",".join((good | {column: cell})[name] for name in NAMES).encode() + b"\n"
    inspected = text.inspect(SPEC, block, NAMES)

    try:
        fast = text.parse(SPEC, block, NAMES).columns
    except encoding.ARROW_ERRORS:
        # Arrow takes a missing value only without spaces around it; the careful way is not so strict.
        assert inspected.bad or cell != cell.strip()
    else:
        assert as_lists(fast) == as_lists(inspected.good.columns)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"7.5,True,26,1", "4 columns, expected 5 (weight,sex,age,count,key)"),
        (b"7.5,True,26,1,a,b", "6 columns, expected 5 (weight,sex,age,count,key)"),
        (b"7.5,True,old,1,a", "column age: 'old' is not a number"),
        (b"7.5,True,1_000,1,a", "column age: '1_000' is not a number"),
        (b"7.5,True,inf,1,a", "column age: 'inf' is not a finite number"),
        (b"None,True,26,1,a", "column weight: 'None' is a missing value, expected a number"),
        (b"nan,True,26,1,a", "column weight: 'nan' is a missing value, expected a number"),
        (b"7.5,True,26,+5,a", "column count: '+5' is not an integer of at most 32 bits"),
        (b"7.5,True,26,3000000000,a", "column count: '3000000000' is not an integer of at most 32 bits"),
        (b"7.5,\xe9t\xe9,26,1,a", "not UTF-8 text"),
        (b'7.5,"True,26,1,a', "2 columns, expected 5 (weight,sex,age,count,key)"),
    ],
)
def test_a_bad_line_is_named(line, problem):
    assert first_problem(b"\n6,False,30,2,b\n" + line + b"\n6,False,30,2,b\n") == (3, problem)


def test_bytes_that_are_not_utf_8_are_fine_in_a_column_that_is_not_read():
    assert text.parse(SPEC, b"7.5,True,26,1,\xe9\n", NAMES).columns["age"].tolist() == [26.0]


def test_good_rows_between_bad_ones_are_kept_in_order():
    inspected = text.inspect(SPEC, b"1,True,1,1,a\nbad\n2,True,2,2,b\n3,True,x,3,c\n4,True,4,4,d\n", NAMES)

    assert inspected.good.columns["weight"].tolist() == [1, 2, 4]
    assert [row.number for row in inspected.bad] == [2, 4]


def test_a_line_of_spaces_is_no_row():
    assert text.inspect(SPEC, b"1,True,1,1,a\n   \n", NAMES).bad == []


def test_a_block_of_nothing_has_no_rows():
    for block in (b"", b"\n", b"\r\n\r\n"):
        assert text.parse(SPEC, block, NAMES).columns["age"].shape == (0,)


@given(
    st.lists(st.tuples(st.floats(width=32, allow_nan=False, allow_infinity=False), st.integers(-(2**31), 2**31 - 1)))
)
def test_numbers_come_back_as_they_were_written(rows):
    block = "".join(f"{weight!r},True,{weight!r},{count},k\n" for weight, count in rows).encode()

    columns = text.parse(SPEC, block, NAMES).columns

    assert columns["weight"].tolist() == [np.float32(weight) for weight, _ in rows]
    assert columns["count"].tolist() == [count for _, count in rows]


def test_a_header_has_every_name_in_any_order_and_maybe_others():
    line = b'\xef\xbb\xbfkey,"age",weight,sex,count,more\r\n'

    assert text.header(SPEC, line, "x.csv") == ("key", "age", "weight", "sex", "count", "more")


@pytest.mark.parametrize("line", [b"", b"7.5,True,26,1,a\n", b"Weight,Sex,Age,Count,Key\n", b"\xff\x00"])
def test_a_first_line_without_the_names_is_no_header(line):
    assert text.header(SPEC, line, "x.csv") == ()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"sex,age,count,key\n", "x.csv: the header lacks the column weight; it has sex, age, count, key"),
        (b"weight,sex,age,age,count\n", "x.csv: the header has the column age twice; expected it once"),
    ],
)
def test_a_header_that_does_not_do_is_refused(line, message):
    with pytest.raises(UsageError) as error:
        text.header(SPEC, line, "x.csv")
    assert str(error.value) == message
