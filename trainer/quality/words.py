"""The statistics of one column of words, exactly the same in whatever order its parts are merged.

    words = words_of(pa.chunked_array([["True", "False", None, "True"]]))
    words.counts, words.missing

Where there are more words than are kept, those with the smallest hashes are, each with its exact count, and the others
are counted together. A word that has one of the smallest hashes of all has one of the smallest of every part, so which
are kept does not depend on the parts: a bottom-k sketch (Cohen and Kaplan, PODC 2007, "Summarizing data using bottom-k
sketches"). The largest hash that was kept also tells about how many words there are.
"""

import hashlib
import heapq
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa
from pyarrow import compute

from trainer.inputs.spec import MISSING


WORDS_KEPT = 1000


@dataclass(frozen=True)
class Words:
    """A column of words. `counts` is in the order of the words."""

    missing: int = 0  # null, or one of the texts that stand for it
    counts: Mapping[str, int] = field(default_factory=dict)
    others: int = 0  # values that are none of the words in `counts`

    @property
    def count(self) -> int:
        """How many values are not missing."""
        return sum(self.counts.values()) + self.others

    @property
    def distinct(self) -> int:
        """How many words there are: exactly where all are kept, else within about 3 % (1 / sqrt(k), one sigma)."""
        if not self.others:
            return len(self.counts)
        return round((len(self.counts) - 1) / (max(map(_hash, self.counts)) / 2**64))


def words_of(column: pa.ChunkedArray) -> Words:
    """The statistics of a column of text, of dictionaries of it, of booleans, or of nothing but nulls."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_boolean(column.type):
        column = compute.if_else(column, "True", "False")
    pairs = zip(*(compute.value_counts(column).field(i).to_pylist() for i in (0, 1)), strict=True)
    found = Counter[str]()
    for word, count in pairs:
        found[word or ""] += count  # null is missing, as an empty text is
    missing = sum(found.pop(word, 0) for word in MISSING)
    return _kept(found, missing=missing)


def merged(first: Words, second: Words) -> Words:
    """The statistics of both columns together."""
    counts = Counter(first.counts)
    counts.update(second.counts)
    return _kept(counts, missing=first.missing + second.missing, others=first.others + second.others)


def _kept(counts: Counter[str], *, missing: int, others: int = 0) -> Words:
    words = sorted(counts) if len(counts) <= WORDS_KEPT else sorted(heapq.nsmallest(WORDS_KEPT, counts, key=_hash))
    kept = {word: counts[word] for word in words}
    return Words(missing, kept, others + counts.total() - sum(kept.values()))


def _hash(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big")
