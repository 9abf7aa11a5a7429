"""The babyweight sample: shards of simulated births, named and written as the 2017 preprocessing did.

    babyweight.write("data/babyweight")                  # train.csv-00000-of-00004 ... eval.csv-00001-of-00002
    babyweight.write("births", rows=10_000_000, train_shards=40, eval_shards=16)

No header; ten columns, of which `key`, the sha224 of the others, is the last.
"""

import hashlib
import re

import numpy as np

from trainer.errors import UsageError
from trainer.samples import natality
from trainer.storage import paths


ROWS = 37_500
CHUNK_ROWS = 100_000  # simulated at a time; memory holds one file's text and these
SHARD = re.compile(r"(train|eval)\.csv-(\d{5})-of-(\d{5})")


def write(
    directory: str, *, rows: int = ROWS, seed: int = 1, train_shards: int = 4, eval_shards: int = 2
) -> dict[str, int]:
    """Write four fifths of `rows` to train on and one to evaluate; how many went where.

    Each file is a draw of its own, so none repeats another. Raises `UsageError` where files of another set are in the
    way, since a glob would read both.
    """
    _check(rows, seed=seed, train_shards=train_shards, eval_shards=eval_shards)
    counts = {"train": rows * 4 // 5, "eval": rows - rows * 4 // 5}
    sizes = {}
    for part, shards in (("train", train_shards), ("eval", eval_shards)):
        for shard, size in enumerate(_split(counts[part], shards)):
            sizes[f"{part}.csv-{shard:05d}-of-{shards:05d}"] = size
    paths.make_directory(directory)
    for name in paths.list_names(directory):
        if SHARD.fullmatch(name) and name not in sizes:
            raise UsageError(f"{paths.join(directory, name)}: is of another set; expected a folder without it")

    for index, (name, size) in enumerate(sizes.items()):
        generator = np.random.default_rng([seed, index])
        paths.write_bytes(paths.join(directory, name), _text(generator, size))
    return counts


def is_written(directory: str) -> bool:
    """Whether `write` came to its end there: the last evaluation file is written last."""
    shards = filter(None, map(SHARD.fullmatch, paths.list_names(directory)))
    return any(shard[1] == "eval" and int(shard[2]) + 1 == int(shard[3]) for shard in shards)


def _check(rows: int, *, seed: int, train_shards: int, eval_shards: int) -> None:
    for name, value, least in (("train-shards", train_shards, 1), ("eval-shards", eval_shards, 1), ("seed", seed, 0)):
        if value < least:
            raise UsageError(f"--{name}: {value}: expected {least} or more")
    least = 5 * max(-(-train_shards // 4), eval_shards)
    if rows < least:
        raise UsageError(f"--rows: {rows}: expected {least} or more, so that each file holds a birth")


def _split(total: int, parts: int) -> list[int]:
    """`parts` sizes that differ by one at most."""
    return [total * (part + 1) // parts - total * part // parts for part in range(parts)]


def _text(generator: np.random.Generator, rows: int) -> bytes:
    """A file of `rows` births, drawn chunk by chunk."""
    starts = range(0, rows, CHUNK_ROWS)
    chunks = (natality.draw(generator, min(CHUNK_ROWS, rows - start)) for start in starts)
    return b"".join(_lines(births) for births in chunks)


def _lines(births: natality.Births) -> bytes:
    lines = []
    for values in zip(*(map(str, column.tolist()) for column in births.values()), strict=True):
        line = ",".join(values)
        lines.append(f"{line},{hashlib.sha224(line.encode()).hexdigest()}\n")
    return "".join(lines).encode()
