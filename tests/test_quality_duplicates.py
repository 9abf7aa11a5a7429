"""Which examples are the same: by 64 bits that depend on the row alone, in memory that does not grow."""

import io
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.quality import duplicates
from trainer.quality.duplicates import Overlap, Seen, hashes, overlap


keys = st.lists(st.integers(0, 40), max_size=120)
texts = st.lists(st.one_of(st.none(), st.text("ab\0", max_size=20), st.text("xyz", min_size=240, max_size=270)))


def seen(values):
    found = Seen(io.BytesIO())
    for part in np.array_split(np.array(values, np.uint64) * np.uint64(0x9E3779B97F4A7C15), 5):
        found.add(part)
    return found


@given(train=keys, evaluation=keys, run=st.sampled_from([1, 7, 1000]))
def test_the_overlap_is_that_of_counting(train, evaluation, run):
    counts, others = Counter(train), Counter(evaluation)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "RUN_HASHES", run)
        found = overlap(seen(train), seen(evaluation))
    assert found == Overlap(
        train=len(train),
        twins_in_train=sum(count for count in counts.values() if count > 1),
        evaluation=len(evaluation),
        in_train=sum(count for key, count in others.items() if key in counts),
    )


def test_hashes_beyond_a_run_are_not_kept_in_memory(monkeypatch):
    monkeypatch.setattr(duplicates, "RUN_HASHES", 100)
    file = io.BytesIO()
    found = Seen(file)
    for _ in range(50):
        found.add(np.arange(30, dtype=np.uint64))
        assert sum(map(len, found._held)) < 100
    assert len(file.getvalue()) > 1300 * 8


@given(values=texts, cut=st.integers(0, 20))
def test_texts_have_the_same_hash_exactly_where_they_are_the_same(values, cut):
    column = pa.array(values, pa.string())
    whole = hashes(pa.table({"key": column}), ["key"])
    assert len(set(whole.tolist())) == len(set(values))
    parts = [hashes(pa.table({"key": part}), ["key"]) for part in (column[:cut], column[cut:])]
    assert np.concatenate(parts).tolist() == whole.tolist()
    bytes_of = column.cast(pa.large_binary())
    parts = [hashes(pa.table({"key": part}), ["key"]) for part in (bytes_of[:cut], bytes_of[cut:])]
    assert np.concatenate(parts).tolist() == whole.tolist()
    for same in (column.cast(pa.large_string()), column.cast(pa.binary()), column.dictionary_encode()):
        assert hashes(pa.table({"key": same}), ["key"]).tolist() == whole.tolist()
    one_by_one = [hashes(pa.table({"key": column[i : i + 1]}), ["key"])[0] for i in range(len(column))]
    assert one_by_one == whole.tolist()


@pytest.mark.parametrize("size", [1, 8, 56, 200, 256, 257, 1000])
def test_texts_of_one_length_are_told_apart_by_their_last_letter(size):
    column = pa.array(["x" * (size - 1) + letter for letter in "abcabc"], pa.large_binary())
    found = hashes(pa.table({"key": column}), ["key"]).tolist()
    assert len(set(found)) == 3
    assert found[:3] == found[3:]
    assert hashes(pa.table({"key": column[2:]}), ["key"]).tolist() == found[2:]


@given(rows=st.lists(st.tuples(st.sampled_from([None, 0.0, -0.0, 1.5, 2.0]), st.sampled_from([None, "a", "b"]))))
def test_rows_have_the_same_hash_exactly_where_all_their_values_are_the_same(rows):
    table = pa.table(
        {
            "number": pa.array([number for number, _ in rows], pa.float32()),
            "word": pa.array([word for _, word in rows], pa.string()).dictionary_encode(),
        }
    )
    assert len(set(hashes(table, ["number", "word"]).tolist())) == len(set(rows))


def test_columns_are_not_confused_with_one_another():
    table = pa.table({"a": [1.0, 2.0], "b": [2.0, 1.0]})
    assert len(set(hashes(table, ["a", "b"]).tolist())) == 2


@pytest.mark.parametrize(("dtype", "size"), [(np.uint8, 784), (np.uint8, 5), (np.float32, 3)])
def test_images_and_vectors_are_hashed_by_all_of_their_values(dtype, size):
    rows = np.random.default_rng(0).integers(0, 4, (50, size)).astype(dtype)
    rows[7] = rows[3]
    rows[8] = rows[3]
    rows[8, -1] += 1
    column = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), size)
    found = hashes(pa.table({"inputs": column}), ["inputs"])
    assert found[7] == found[3] != found[8]
    assert len(set(found.tolist())) == len({tuple(row) for row in rows.tolist()})
    assert hashes(pa.table({"inputs": column[40:]}), ["inputs"]).tolist() == found[40:].tolist()


def test_hashes_of_numbers_in_a_row_are_all_different_and_spread():
    found = hashes(pa.table({"row": np.arange(200_000, dtype=np.float64)}), ["row"])
    assert len(np.unique(found)) == 200_000
    assert np.bincount((found >> np.uint64(56)).astype(np.int64), minlength=256).std() < 100
