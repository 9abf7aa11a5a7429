"""The MNIST sample from each of its sources, against the four real files where they are at hand."""

import gzip
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from trainer.errors import RunError, UsageError
from trainer.inputs import records
from trainer.samples import mnist


REAL = Path(os.environ.get("TRAINER_DATA", Path(__file__).parents[2] / "shared" / "data")) / "mnist"
needs_real_digits = pytest.mark.skipif(not REAL.is_dir(), reason=f"no real digits in {REAL}; set TRAINER_DATA")

FILES = [
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
]


@pytest.fixture(scope="module")
def bundled():
    return mnist.bundled()


@pytest.fixture
def idx_folder(tmp_path):
    """A folder of four small IDX files, the test ones not compressed."""
    folder = tmp_path / "idx"
    folder.mkdir()
    for names, count in ((mnist.TRAIN, 7), (mnist.TEST, 3)):
        images = np.arange(count * 28 * 28, dtype=np.uint32).astype(np.uint8).reshape(count, 28, 28)
        put(folder, names[0], images)
        put(folder, names[1], np.arange(count, dtype=np.uint8))
    for name in mnist.TEST:
        (folder / name).write_bytes(gzip.decompress((folder / f"{name}.gz").read_bytes()))
        (folder / f"{name}.gz").unlink()
    return folder


def put(folder, name, array):
    (folder / f"{name}.gz").write_bytes(gzip.compress(mnist.encode(array)))


def test_files_of_the_user_become_the_four_standard_ones(idx_folder, tmp_path):
    counts = mnist.write(str(tmp_path / "out"), source=str(idx_folder))

    assert sorted(os.listdir(tmp_path / "out")) == FILES
    assert counts == {"train": 7, "test": 3}
    before, after = mnist.read(str(idx_folder)), mnist.read(str(tmp_path / "out"))
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(new.images, old.images)
        np.testing.assert_array_equal(new.labels, old.labels)


def test_the_same_digits_give_the_same_bytes(idx_folder, tmp_path):
    for name in ("a", "b"):
        mnist.write(str(tmp_path / name), source=str(idx_folder))

    for file in FILES:
        content = (tmp_path / "a" / file).read_bytes()
        assert content == (tmp_path / "b" / file).read_bytes()
        assert content[4:8] == bytes(4), "the time in the gzip header must be zero"


@needs_real_digits
@pytest.mark.parametrize("name", ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", "train-labels-idx1-ubyte"])
def test_encoding_gives_back_the_bytes_of_the_real_files(name):
    content = gzip.decompress((REAL / f"{name}.gz").read_bytes())

    assert mnist.encode(records.read_idx(str(REAL / f"{name}.gz"))) == content


@needs_real_digits
def test_the_real_files_are_read_in_their_order():
    train, test = mnist.read(str(REAL))

    assert train.images.shape == (60_000, 28, 28)
    assert test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


def test_the_bundled_digits_are_split_evenly_by_class(bundled):
    train, test = bundled

    assert train.images.shape == (4000, 28, 28)
    assert test.images.shape == (1000, 28, 28)
    assert np.bincount(train.labels).tolist() == [400] * 10
    assert np.bincount(test.labels).tolist() == [100] * 10
    assert {train.images.dtype, train.labels.dtype, test.images.dtype, test.labels.dtype} == {np.dtype(np.uint8)}


def test_the_bundled_digits_are_in_mixed_order_and_none_is_on_both_sides(bundled):
    train, test = bundled

    assert len(set(train.labels[:50].tolist())) > 5
    assert not {image.tobytes() for image in train.images} & {image.tobytes() for image in test.images}


def test_the_bundled_labels_belong_to_their_images(bundled):
    train, test = bundled
    centres = np.stack([train.images[train.labels == digit].mean(axis=0).ravel() for digit in range(10)])
    flat = test.images.reshape(len(test.images), -1).astype(np.float64)
    nearest = ((flat[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)

    assert (nearest == test.labels).mean() > 0.75  # 0.1 where they do not


def test_without_a_network_the_bundled_digits_are_written_and_one_line_says_so(tmp_path, bundled):
    with socket.socket() as taken:  # bound but not listening: a connection is refused at once
        taken.bind(("127.0.0.1", 0))
        proxy = f"http://127.0.0.1:{taken.getsockname()[1]}"
        environment = os.environ | {"https_proxy": proxy, "no_proxy": "", "KERAS_HOME": str(tmp_path / "keras")}
        words = ["-m", "trainer.data", "mnist", "--output", str(tmp_path / "out")]
        run = subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True, timeout=60)

    assert run.returncode == 0, run.stderr
    warning, done = map(json.loads, run.stdout.splitlines())
    assert warning["severity"] == "WARNING"
    assert "5,000 digits, 4,000 train and 1,000 test" in warning["message"]
    assert done["message"].endswith("out: 4,000 train, 1,000 test")
    assert not [path for path in (tmp_path / "keras").rglob("*") if path.name.startswith("mnist")]
    for written, digits in zip(mnist.read(str(tmp_path / "out")), bundled, strict=True):
        np.testing.assert_array_equal(written.images, digits.images)
        np.testing.assert_array_equal(written.labels, digits.labels)


def test_a_set_is_written_once_its_last_file_is_there(idx_folder, tmp_path):
    directory = str(tmp_path / "out")
    assert not mnist.is_written(directory)

    mnist.write(directory, source=str(idx_folder))
    assert mnist.is_written(directory)

    (tmp_path / "out" / "t10k-labels-idx1-ubyte.gz").unlink()
    assert not mnist.is_written(directory)


def test_a_folder_without_the_files_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"has no train-images-idx3-ubyte\.gz; expected the four IDX files"):
        mnist.write(str(tmp_path / "out"), source=str(tmp_path))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("train-images-idx3-ubyte", np.zeros((7, 20, 28), np.uint8), r"shape \(7, 20, 28\); expected \(B, 28, 28\)"),
        ("train-images-idx3-ubyte", np.zeros(7, np.uint8), r"shape \(7,\); expected \(B, 28, 28\)"),
        ("train-labels-idx1-ubyte", np.zeros(6, np.uint8), r"shape \(6,\); expected a label for each of 7 images"),
        ("train-labels-idx1-ubyte", np.full(7, 10, np.uint8), "label 10; expected 0 to 9"),
    ],
)
def test_files_that_are_not_mnist_are_refused_with_their_shape(idx_folder, tmp_path, name, array, message):
    put(idx_folder, name, array)

    with pytest.raises(RunError, match=rf"{name}\.gz: .*{message}"):
        mnist.write(str(tmp_path / "out"), source=str(idx_folder))
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_not_idx_is_named(idx_folder, tmp_path):
    (idx_folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(b"<html>not found</html>"))

    with pytest.raises(RunError, match=r"train-labels-idx1-ubyte\.gz: not an IDX file"):
        mnist.write(str(tmp_path / "out"), source=str(idx_folder))
