"""The files that there are to be.

files = plan.of("csv", size=52_000_000, train=None, evaluation=None)
files.names                              # train.csv-00000-of-00004 ... eval.csv-00001-of-00002
"""

from dataclasses import dataclass

from trainer.errors import UsageError


PARTS = ("train", "eval")
MOST = 99_999  # that the names have room for
UNKNOWN_SIZE = (40, 16)  # files for training and evaluation, as in 2017
FILES_BY_SIZE = ((4, 64 << 20), (2, 256 << 20))  # at least so many, and one for so many bytes of input


@dataclass(frozen=True)
class Plan:
    """How many files there are of each part, and of what format."""

    form: str
    train: int
    eval: int

    def count(self, part: str) -> int:
        """The number of files of a part."""
        return self.train if part == "train" else self.eval

    def name(self, part: str, index: int) -> str:
        """A file's name: `train.csv-00000-of-00004`."""
        return f"{part}.{self.form}-{index:05d}-of-{self.count(part):05d}"

    @property
    def names(self) -> list[str]:
        """All files' names."""
        return [self.name(part, index) for part in PARTS for index in range(self.count(part))]


def of(form: str, *, size: int | None, train: int | None, evaluation: int | None) -> Plan:
    """As many files as asked for; else by the bytes of the input, or where nobody knows them, of `UNKNOWN_SIZE`."""
    by_size = UNKNOWN_SIZE if size is None else tuple(max(few, -(-size // each)) for few, each in FILES_BY_SIZE)
    counts = [
        given if given is not None else default for given, default in zip((train, evaluation), by_size, strict=True)
    ]
    for flag, count in zip(("--train-shards", "--eval-shards"), counts, strict=True):
        if not 1 <= count <= MOST:
            raise UsageError(f"{flag}: {count}: expected 1 to {MOST:,}")
    return Plan(form, *counts)
