"""Drift from one column to another: what has moved is noticed, what chance moves is not."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.quality import drift, numbers, words
from trainer.quality.numbers import Numbers
from trainer.quality.words import Words


def words_of(values):
    return words.words_of(pa.chunked_array([values], pa.string()))


def test_the_index_is_that_of_its_formula():
    first, second = words_of(["a"] * 60 + ["b"] * 40), words_of(["a"] * 30 + ["b"] * 70)
    shares = [(60.5 / 101, 30.5 / 101), (40.5 / 101, 70.5 / 101)]
    found = drift.between(first, second)
    assert found.index == pytest.approx(sum((p - q) * math.log(p / q) for p, q in shares))
    assert (found.bin, found.first, found.second) == ("'a'", 0.6, 0.3)
    assert found.is_noticed


@pytest.mark.parametrize("rows", [(200, 100), (2000, 400), (30_000, 7500)])
@pytest.mark.parametrize("kind", ["normal", "lognormal", "few", "words"])
def test_what_chance_moves_is_not_noticed(kind, rows):
    noticed = 0
    for seed in range(30):
        random = np.random.default_rng(seed)
        draw = {
            "normal": lambda n, r=random: numbers.numbers_of(r.normal(7, 1.3, n)),
            "lognormal": lambda n, r=random: numbers.numbers_of(r.lognormal(0, 3, n)),
            "few": lambda n, r=random: numbers.numbers_of(r.poisson(20, n)),
            "words": lambda n, r=random: words_of(r.choice(list("abcdefgh"), n, p=[0.5, 0.3, *[0.2 / 6] * 6])),
        }[kind]
        noticed += drift.between(draw(rows[0]), draw(rows[1])).is_noticed
    assert noticed <= 1


@pytest.mark.parametrize(
    "moved",
    [
        lambda values, random: values + 0.7,
        lambda values, random: values * 1.8 - 5.6,
        lambda values, random: np.where(random.random(len(values)) < 0.3, np.nan, values),
    ],
)
def test_numbers_that_have_moved_or_spread_or_gone_are_noticed(moved):
    random = np.random.default_rng(0)
    first, second = random.normal(7, 1.3, 5000), random.normal(7, 1.3, 500)
    assert not drift.between(numbers.numbers_of(first), numbers.numbers_of(second)).is_noticed
    found = drift.between(numbers.numbers_of(first), numbers.numbers_of(moved(second, random)))
    assert found.is_noticed


@pytest.mark.parametrize("values", [2, 200])
def test_large_numbers_that_differ_little_are_told_apart(values):
    """Whole numbers of eight digits, of which six are shown."""
    start = 20_171_000.0
    rows = np.arange(6000) % values + start
    moved = np.where(rows == rows.min(), rows.max(), rows) if values == 2 else rows + values
    found = drift.between(numbers.numbers_of(rows), numbers.numbers_of(moved))
    assert found.index == drift.between(numbers.numbers_of(rows - start), numbers.numbers_of(moved - start)).index
    assert found.index > drift.LARGE


def test_the_bin_that_changed_most_is_named():
    first = numbers.numbers_of(np.arange(1000) % 50)
    second = numbers.numbers_of(np.where(np.arange(1000) % 2, np.arange(1000) % 50, 30))
    found = drift.between(first, second)
    assert found.bin == "30 to less than 35"
    assert found.first == pytest.approx(0.1)
    assert found.second > 0.5


def test_values_and_buckets_of_the_same_numbers_do_not_differ():
    values = np.random.default_rng(0).integers(0, 250, 5000) / 8
    few, many = numbers.numbers_of(values), numbers.merged(numbers.numbers_of(values), Numbers(exact=False))
    assert (few.exact, many.exact) == (True, False)
    assert drift.between(few, many).index == pytest.approx(0, abs=1e-9)
    assert drift.between(many, few).index == pytest.approx(0, abs=1e-9)


def test_more_words_than_are_kept_are_compared_by_those_that_both_keep(monkeypatch):
    monkeypatch.setattr(words, "WORDS_KEPT", 10)
    random = np.random.default_rng(0)
    first, second, other = (words_of([str(i) for i in random.integers(low, low + 100, 3000)]) for low in (0, 0, 60))
    assert first.others
    assert not drift.between(first, second).is_noticed
    assert drift.between(first, other).is_noticed


@given(st.lists(st.sampled_from([1.0, 2.0, 300.0, None])), st.lists(st.sampled_from([1.0, 5.0, None])))
def test_any_two_columns_have_a_finite_index_or_none(first, second):
    columns = [
        numbers.numbers_of(np.array([v for v in part if v is not None], float), missing=part.count(None))
        for part in (first, second)
    ]
    found = drift.between(*columns)
    assert (found is None) == (not first or not second)
    assert found is None or (math.isfinite(found.index) and found.index >= -1e-12)


def test_words_are_not_compared_with_numbers():
    assert drift.between(Words(counts={"a": 1}), numbers.numbers_of(np.ones(3))) is None


@pytest.mark.parametrize(("degrees", "exact"), [(1, 10.83), (2, 13.82), (9, 27.88), (10, 29.59), (20, 45.31)])
def test_chi_squared_is_that_of_the_tables(degrees, exact):
    assert drift._chi_squared(degrees) == pytest.approx(exact, rel=0.035)
