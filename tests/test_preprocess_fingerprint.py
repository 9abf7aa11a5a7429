"""FARM_FINGERPRINT against values that BigQuery printed, and against TensorFlow's own FarmHash."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from trainer.errors import UsageError
from trainer.preprocessing import fingerprint


MONTHS = [f"{year}{month}" for year in range(2001, 2009) for month in range(1, 13)]
OF_BIGQUERY = {  # as training-data-analyst's notebook on babyweight shows them
    "20017": -1403073183891835564,
    "20026": 3545707052733304728,
    "200212": 1451354159195218418,
    "200312": -7773938200482214258,
    "20039": -328012383083104805,
}
BUCKETS = ((1 << 62) - 57, (1 << 61) - 1)  # TensorFlow gives Fingerprint64 modulo these; two of them leave no room


def of_tensorflow(text):
    """Fingerprint64 modulo both numbers of buckets."""
    return [int(tf.strings.to_hash_bucket_fast(text, buckets)) for buckets in BUCKETS]


@pytest.mark.parametrize(("text", "expected"), OF_BIGQUERY.items())
def test_a_fingerprint_is_that_of_bigquery(text, expected):
    assert fingerprint.of(text) == expected


@pytest.mark.parametrize("text", [*MONTHS, "", "a", "ab", "abc", "1969", "1234567", "12345678", "1234567890123456"])
def test_a_fingerprint_is_that_of_tensorflow(text):
    assert [fingerprint.of(text) % (1 << 64) % buckets for buckets in BUCKETS] == of_tensorflow(text)


@given(st.text(max_size=16).filter(lambda text: len(text.encode()) <= 16))
def test_any_short_text_has_the_fingerprint_of_tensorflow(text):
    assert -(1 << 63) <= fingerprint.of(text) < 1 << 63
    assert [fingerprint.of(text) % (1 << 64) % buckets for buckets in BUCKETS] == of_tensorflow(text)


def test_a_remainder_is_that_of_a_mod_that_keeps_the_sign():
    assert fingerprint.remainder("20039", 4) == 1  # -328012383083104805 is -1 modulo 4; Python's % says 3
    assert fingerprint.of("20039") % 4 == 3
    expected = [abs(int(np.fmod(np.int64(fingerprint.of(month)), 4))) for month in MONTHS]
    assert [fingerprint.remainder(month, 4) for month in MONTHS] == expected
    assert [fingerprint.of(month) % 4 for month in MONTHS] != expected


def test_a_text_that_takes_another_way_is_refused():
    with pytest.raises(UsageError, match="17 bytes; expected at most 16"):
        fingerprint.of("x" * 17)
