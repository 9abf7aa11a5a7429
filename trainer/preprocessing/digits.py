"""MNIST's IDX files as the TFRecords of 2017: `train`, `validation` and `test`.

    parts = digits.split("downloads/mnist", validation_size=5000)
    stats = digits.write(output, recipe, parts)

The first `validation_size` training images are for validation, as in cloudml-dist-mnist-example's create_records.py.
`--experiment mnist --data-dir` finds the other two files; nothing reads the validation file by itself.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from trainer.errors import UsageError
from trainer.inputs import records
from trainer.preprocessing import folder
from trainer.preprocessing.folder import Recipe
from trainer.preprocessing.shards import Written
from trainer.samples import mnist
from trainer.samples.mnist import Digits
from trainer.storage import paths


PARTS = ("train", "validation", "test")
NAMES = tuple(f"{part}.tfrecords" for part in PARTS)


def recipe(source: str, validation_size: int) -> Recipe:
    """All that the files follow from. A folder without the four files raises `UsageError`."""
    files = [mnist.find(source, name) for name in (*mnist.TRAIN, *mnist.TEST)]
    return {"input": folder.described(files), "validation_size": validation_size}


def write(output: str, made_of: Recipe, parts: Mapping[str, Digits]) -> dict[str, Any]:
    """Write the three files, then `stats.json`, and return its content."""
    written = []
    for name, digits in zip(NAMES, parts.values(), strict=True):
        path = paths.join(output, name)
        records.write_tfrecord(path, digits.images, digits.labels)
        written.append(Written(name, len(digits.labels), paths.stat(path).size, paths.checksum(path)))
    counted = {part: {"rows": len(d.labels), "labels": _counts(d.labels)} for part, d in parts.items()}
    return folder.seal(output, made_of, counted, written)


def split(source: str, validation_size: int) -> Mapping[str, Digits]:
    """The digits of the IDX files in a folder, by part."""
    train, test = mnist.read(source)
    if not 0 <= validation_size < len(train.labels):
        raise UsageError(
            f"--validation-size: {validation_size}: expected 0 to {len(train.labels) - 1}, so that some of the "
            f"{len(train.labels)} training images are left to train on"
        )
    cut = validation_size
    validation = Digits(train.images[:cut], train.labels[:cut])
    return dict(zip(PARTS, (Digits(train.images[cut:], train.labels[cut:]), validation, test), strict=True))


def _counts(labels: np.ndarray) -> dict[str, int]:
    """How many there are of each digit."""
    return {str(digit): int(count) for digit, count in enumerate(np.bincount(labels, minlength=mnist.CLASSES))}
