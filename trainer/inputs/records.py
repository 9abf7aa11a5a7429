"""TFRecord and IDX files: records of numbers and raw bytes.

IDX is the format of MNIST's own four files: images and labels apart, paired here by name. A TFRecord file holds
`tf.train.Example`s; the layout of 2017 has the bytes of an image under `image_raw` and an int64 `label`.
Both are read whole, one file a unit.
"""

import gzip
import math
import struct
import zlib

import numpy as np

from trainer.errors import RunError, UsageError
from trainer.inputs.columns import Unit, compressed, concatenate, open_text
from trainer.inputs.spec import Columns, Feature, InputSpec
from trainer.storage import paths


IDX_UINT8 = 0x08
EXAMPLES_A_PARSE = 4096


def idx_pairs(files: list[str]) -> list[tuple[str, str]]:
    """(images, labels) for each images file, paired as `train-images-idx3-ubyte` and `train-labels-idx1-ubyte` are."""
    images = [path for path in files if "images" in paths.name(path)]
    labels = {path for path in files if "labels" in paths.name(path)}
    pairs = []
    for path in images:
        partner = paths.join(paths.parent(path), paths.name(path).replace("images", "labels").replace("idx3", "idx1"))
        partner = partner if partner in labels else partner.removeprefix("./")
        if partner not in labels:
            raise UsageError(f"{path}: no labels file; expected {partner} among the files")
        pairs.append((path, partner))
        labels.remove(partner)
    if labels or not pairs:
        raise UsageError(f"{min(labels, default=files[0])}: no images file beside it; a glob must match both")
    return pairs


def read_idx(path: str) -> np.ndarray:
    """The uint8 array of an IDX file, of the shape in its header. A short or foreign file raises `RunError`."""
    try:
        with open_text(path) as file:
            content = file.read()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise RunError(f"{path}: not a whole gzip file: {error}") from error
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != IDX_UINT8:
        raise RunError(f"{path}: not an IDX file of bytes; it starts with {content[:4]!r}")
    rank = content[3]
    start = 4 + 4 * rank
    shape = struct.unpack(f">{rank}I", content[4:start].ljust(4 * rank, b"\0"))
    if len(content) - start != math.prod(shape):
        raise RunError(
            f"{path}: cut short: {max(0, len(content) - start):,} bytes of data, expected "
            f"{math.prod(shape):,} for shape {'x'.join(map(str, shape))}"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def read_images(spec: InputSpec, images_path: str, labels_path: str) -> Columns:
    """The columns of a pair of IDX files, for a spec of one feature of pixels."""
    (feature,) = spec.features
    images, labels = read_idx(images_path), read_idx(labels_path)
    if len(images) != len(labels):
        raise RunError(f"{labels_path}: {len(labels):,} labels for the {len(images):,} images of {images_path}")
    if images[0].size != math.prod(feature.shape):
        raise RunError(f"{images_path}: {images[0].size} pixels an image, expected {math.prod(feature.shape)}")
    return {
        feature.name: images.reshape(len(images), *feature.shape),
        spec.label.name: labels.astype(spec.label.stored_dtype),
    }


def count_idx(path: str) -> int:
    """The number of items in an IDX file, from its header."""
    with open_text(path) as file:
        head = file.read(8)
    return int(struct.unpack(">I", head[4:8].ljust(4, b"\0"))[0])


def read_tfrecord(spec: InputSpec, unit: Unit) -> Columns:
    """The columns of a TFRecord file. A bad checksum or a record without a needed key raises `RunError`."""
    import tensorflow as tf  # here, since the other formats start a run without waiting for it

    records = tf.data.TFRecordDataset(unit.path, "GZIP" if compressed(unit.path) else "")
    parts, parsed = [], 0
    try:
        for batch in records.batch(EXAMPLES_A_PARSE):
            examples = tf.io.parse_example(batch, {_key(f): _parsing(f, tf) for f in spec.read})
            parts.append({f.name: _stored(f, examples[_key(f)].numpy(), unit.path, parsed) for f in spec.read})
            parsed += int(batch.shape[0])
    except tf.errors.DataLossError as error:
        raise RunError(f"{unit.path}: damaged after record {parsed}: {error.message}") from error
    except tf.errors.InvalidArgumentError as error:
        raise RunError(f"{unit.path}: a record from {parsed} on does not fit: {error.message}") from error
    return concatenate(spec, parts)


def count_tfrecord(path: str) -> int:
    """The number of records, found by stepping over their lengths."""
    count = 0
    with open_text(path) as file:
        try:
            while len(head := file.read(12)) == 12:
                file.seek(int.from_bytes(head[:8], "little") + 4, 1)
                count += 1
        except (EOFError, OSError, zlib.error, OverflowError):
            return count  # reading it will say what is wrong
    return count


def _key(feature: Feature) -> str:
    return feature.record or feature.name


def _parsing(feature: Feature, tf):  # type: ignore[no-untyped-def]
    if feature.record or feature.dtype == "string":
        return tf.io.FixedLenFeature([], tf.string)
    return tf.io.FixedLenFeature(feature.shape, tf.int64 if feature.dtype == "int64" else tf.float32)


def _stored(feature: Feature, values: np.ndarray, path: str, first: int) -> np.ndarray:
    if feature.record:
        size = math.prod(feature.shape)
        for i, raw in enumerate(values):
            if len(raw) != size:
                raise RunError(f"{path}: record {first + i}: {len(raw)} bytes in {feature.record}, expected {size}")
        return np.frombuffer(b"".join(values), np.uint8).reshape(-1, *feature.shape)
    if feature.vocabulary:
        position = {word.encode(): i for i, word in enumerate(feature.vocabulary)}
        return np.array([position.get(word, len(position)) for word in values], np.int32)
    if feature.scale is not None:
        return np.rint(values / feature.scale).astype(np.uint8)
    return values.astype(feature.stored_dtype)
