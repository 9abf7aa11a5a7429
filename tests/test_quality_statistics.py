"""Statistics of tables: what they say, and that they are the same in whatever order parts are merged."""

import itertools
import json
import math
import pickle
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.errors import UsageError
from trainer.quality import numbers, words
from trainer.quality.numbers import Numbers
from trainer.quality.statistics import EMPTY, Statistics, from_json, merged, of, to_json
from trainer.quality.words import Words


floats = st.one_of(
    st.floats(width=32),
    st.integers(-300, 300).map(float),
    st.floats(-1e9, 1e9),
    st.none(),
)
texts = st.one_of(st.none(), st.sampled_from(["True", "None", "", "Ω"]), st.text("abc", min_size=1, max_size=4))
row = st.tuples(floats, texts)
rows = st.integers(0, 60).flatmap(lambda count: st.lists(row, min_size=count, max_size=count))  # else most are short


def table(part):
    return pa.table(
        {
            "number": pa.array([value for value, _ in part], pa.float64()),
            "word": pa.array([word for _, word in part], pa.string()),
        }
    )


def written(statistics):
    return json.dumps(to_json(statistics))


@pytest.fixture
def few_kept(monkeypatch):
    """Limits that a small table passes."""
    monkeypatch.setattr(numbers, "VALUES_KEPT", 3)
    monkeypatch.setattr(words, "WORDS_KEPT", 3)


@given(rows=rows, cuts=st.lists(st.integers(0, 60), max_size=6), random=st.randoms(use_true_random=False))
def check_any_order(rows, cuts, random):
    whole = of(table(rows))
    places = sorted({0, *(min(cut, len(rows)) for cut in cuts), len(rows)})
    parts = [of(table(rows[a:b])) for a, b in itertools.pairwise(places)] or [EMPTY]
    while len(parts) > 1:
        first, second = (parts.pop(random.randrange(len(parts))) for _ in range(2))
        parts.append(merged(first, second))
    assert written(parts[0]) == written(whole) or not rows
    assert written(merged(EMPTY, whole)) == written(merged(whole, EMPTY)) == written(whole)


def test_parts_merged_in_any_order_and_grouping_give_the_same_bytes():
    check_any_order()


def test_so_they_do_where_there_are_more_values_and_words_than_are_kept(few_kept):
    check_any_order()


@given(rows=rows)
def test_statistics_say_what_the_values_are(rows):
    column = of(table(rows)).columns["number"]
    finite = [value for value, _ in rows if value is not None and abs(value) <= numbers.FLOAT32_MAX]
    present = [0.0 if abs(value) < numbers.FLOAT32_LEAST else value for value in finite]
    assert of(table(rows)).rows == len(rows)
    assert column.missing == sum(value is None or math.isnan(value) for value, _ in rows)
    assert column.infinite == len(rows) - column.missing - len(present)
    assert column.count == len(present)
    assert column.zeros == present.count(0.0)
    assert column.minimum == min(present, default=math.inf)
    assert column.maximum == max(present, default=-math.inf)
    assert column.total == sum(map(Fraction, present))
    assert column.squares == sum(Fraction(value) ** 2 for value in present)
    assert column.counts == {value: present.count(value) for value in present}

    words = of(table(rows)).columns["word"]
    known = [word for _, word in rows if word not in (None, "", "None")]
    assert words == Words(len(rows) - len(known), {word: known.count(word) for word in sorted(set(known))}, 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("middle", "spread"), [(7.18, 1.3), (1e9, 5.0), (0.0, 1e-3)])
def test_mean_and_deviation_are_those_of_exact_arithmetic(dtype, middle, spread):
    values = np.random.default_rng(0).normal(middle, spread, 3000).astype(dtype)
    column = numbers.numbers_of(values)
    exact = [Fraction(float(value)) for value in values]
    mean = sum(exact) / len(exact)
    assert column.total == sum(exact)
    assert column.squares == sum(value**2 for value in exact)
    assert column.mean == float(mean)
    assert column.deviation == math.sqrt(sum((value - mean) ** 2 for value in exact) / len(exact))


@given(values=st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=200))
def test_a_sum_does_not_round(values):
    assert numbers.exact_sum(np.array(values)) == sum(map(Fraction, values))


def test_a_sum_of_many_values_of_one_size_does_not_round(monkeypatch):
    values = np.full(3_000_000, np.nextafter(2.0, 1.0))
    assert numbers.exact_sum(values) == Fraction(float(values[0])) * len(values)
    monkeypatch.setattr(numbers, "CHUNK", 1000)
    assert numbers.exact_sum(values[:2500]) == Fraction(float(values[0])) * 2500


@pytest.mark.parametrize("share", [0.0, 0.01, 0.25, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("name", ["normal", "lognormal", "negative"])
def test_a_quantile_is_within_one_128th_of_the_value_of_its_rank(name, share):
    random = np.random.default_rng(1)
    values = {
        "normal": random.normal(0, 3, 20_000),
        "lognormal": random.lognormal(0, 4, 20_000),
        "negative": -random.lognormal(3, 1, 20_000),
    }[name]
    column = numbers.numbers_of(values)
    assert not column.exact
    expected = np.quantile(values, share, method="lower")
    assert abs(column.quantile(share) - expected) <= abs(expected) / 128


def test_the_quantiles_of_a_few_values_are_values():
    column = numbers.numbers_of(np.array([1.0, 2.0, 2.0, 4.0]))
    assert [column.quantile(share) for share in (0, 0.5, 1)] == [1.0, 2.0, 4.0]


def test_no_numbers_have_no_mean():
    column = numbers.numbers_of(np.array([np.nan]))
    assert (column.mean, column.deviation, column.quantile(0.5), column.count, column.missing) == (None,) * 3 + (0, 1)


def test_the_words_that_are_kept_have_exact_counts_and_the_others_are_counted_together():
    texts = [str(i % 3000) for i in range(9000)] + ["often"] * 50
    column = words.words_of(pa.chunked_array([texts]))
    assert len(column.counts) == words.WORDS_KEPT
    assert all(count == (50 if word == "often" else 3) for word, count in column.counts.items())
    assert column.count == len(texts)
    assert column.distinct == pytest.approx(3001, rel=0.1)
    assert list(column.counts) == sorted(column.counts)


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["True", "False", None, "True"]),
        pa.array([True, False, None, True]),
        pa.array(["True", "False", None, "True"]).dictionary_encode(),
        pa.array(["True", "False", "NaN", "True"], pa.large_string()),
    ],
)
def test_words_are_the_same_in_any_arrow_type(column):
    assert of(pa.table({"sex": column})).columns["sex"] == Words(1, {"False": 1, "True": 2})


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1.0, 2.0, None]),
        pa.array([1, 2, None], pa.int64()),
        pa.array([1, 2, None], pa.uint8()),
        pa.array([1.0, 2.0, math.nan], pa.float32()),
        pa.array([1, 2, None], pa.decimal128(5, 1)),
        pa.array([[1.0], [2.0], [None]]),
        pa.array([1, 2, None]).dictionary_encode(),
    ],
)
def test_numbers_are_the_same_in_any_arrow_type(column):
    expected = Numbers(1, 0, 1.0, 2.0, Fraction(3), Fraction(5), True, {1.0: 1, 2.0: 1})
    assert of(pa.table({"age": column})).columns["age"] == expected
    assert of(pa.RecordBatch.from_pydict({"age": column})).columns["age"] == expected


def test_a_column_of_nothing_but_nulls_goes_with_words_and_with_numbers():
    nothing = of(pa.table({"x": pa.nulls(3)}))
    for other in (pa.array([1.5, 2.5]), pa.array(["a", "b"])):
        some = of(pa.table({"x": other}))
        assert written(merged(nothing, some)) == written(merged(some, nothing))
        assert merged(nothing, some).columns["x"].missing == 3
        assert merged(nothing, some).columns["x"].count == 2


def test_words_and_numbers_under_one_name_are_refused_by_name():
    with pytest.raises(UsageError, match="column x: words in one part and numbers in another"):
        merged(of(pa.table({"x": ["a"]})), of(pa.table({"x": [1.0]})))


def test_a_type_that_has_no_statistics_is_refused_by_name():
    with pytest.raises(UsageError, match=r"column day: date32.*; expected text, booleans, numbers"):
        of(pa.table({"day": pa.array([1], pa.int32()).cast(pa.date32())}))


def test_minus_zero_is_zero():
    assert numbers.numbers_of(np.array([0.0, -0.0])).zeros == 2


@given(rows=rows)
def test_what_is_written_reads_back(rows):
    statistics = of(table(rows))
    assert from_json(json.loads(written(statistics))) == statistics
    assert pickle.loads(pickle.dumps(statistics)) == statistics


def test_what_is_written_has_what_people_look_for():
    content = to_json(of(pa.table({"age": [20.0, 30.0, None, 40.0], "sex": ["f", "f", "m", None]})))
    assert content["rows"] == 4
    age, sex = content["columns"]["age"], content["columns"]["sex"]
    assert (age["count"], age["missing"], age["missing_share"], age["mean"]) == (3, 1, 0.25, 30.0)
    assert (age["minimum"], age["quantiles"]["0.5"], age["maximum"]) == (20.0, 30.0, 40.0)
    assert sex["shares"] == {"f": 2 / 3, "m": 1 / 3}
    assert list(content["columns"]) == ["age", "sex"]


@pytest.mark.parametrize("content", [{}, {"rows": 1}, {"rows": 1, "columns": {"x": {"kind": "dates", "counts": {}}}}])
def test_foreign_content_is_refused(content):
    with pytest.raises(UsageError, match="statistics: "):
        from_json(content)


def test_statistics_of_nothing_are_empty():
    assert Statistics() == EMPTY
    assert to_json(EMPTY) == {"rows": 0, "columns": {}}


def test_all_bytes_are_counted_by_value_and_one_more_value_is_not():
    assert numbers.numbers_of(np.arange(256.0)).exact
    assert numbers.numbers_of(np.arange(256, dtype=np.uint8)) == numbers.numbers_of(np.arange(256.0))
    assert not numbers.numbers_of(np.arange(257.0)).exact


def test_a_number_too_small_for_32_bits_is_zero():
    column = numbers.numbers_of(np.array([5e-324, -1e-50, 2.0**-149]))
    assert (column.zeros, column.maximum, column.minimum) == (2, 2.0**-149, 0.0)


def test_a_number_too_large_for_32_bits_counts_as_infinite():
    column = numbers.numbers_of(np.array([1e39, -np.inf, 1.0]))
    assert (column.infinite, column.count, column.maximum) == (2, 1, 1.0)
