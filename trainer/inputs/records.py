"""TFRecord and IDX files: records of numbers and raw bytes.

    write_tfrecord("train.tfrecords.gz", images, labels)     # the layout of 2017
    columns = read_tfrecord(spec, unit)                      # any layout that the spec describes

IDX is the format of MNIST's own four files: images and labels apart, paired here by name. A TFRecord file holds
`tf.train.Example`s; in the layout of 2017 an image's bytes are under `image_raw`, its class is the int64 `label`.
Both are read whole, one file a unit.
"""

import gzip
import itertools
import math
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

import google_crc32c
import numpy as np
import pyarrow as pa

from trainer.errors import RunError, UsageError
from trainer.inputs import encoding
from trainer.inputs.columns import GZIP_RATIO, Unit, compressed, open_text
from trainer.inputs.encoding import ARROW_ERRORS
from trainer.inputs.spec import Columns, Feature, InputSpec, concatenate
from trainer.storage import paths
from trainer.storage.entry import Entry


IDX_UINT8 = 0x08
LENGTH = struct.Struct("<QI")  # of a record: the size of its data, and that size's checksum
CHECKSUM = struct.Struct("<I")
EXAMPLES_A_PARSE = 4096


def whole_unit(path: str, labels: Unit | None = None) -> Unit:
    """The unit of a file that is read at once."""
    known = paths.stat(path)
    return Unit(path, 0, 1, known.size * (GZIP_RATIO if compressed(path) else 1), known=known, labels=labels)


def idx_units(spec: InputSpec, files: list[str]) -> list[Unit]:
    """A unit for each images file, with its labels: `train-labels-idx1-ubyte` for `train-images-idx3-ubyte`.

    Either may be compressed. Images without labels, labels without images, and a spec of more than one feature of
    pixels and an integer label raise `UsageError`.
    """
    fits = [f.scale is not None for f in spec.features] == [True] and spec.label.dtype == "int64"
    if files and not fits:
        raise UsageError(f"{files[0]}: an IDX file, which holds pixels and integer labels; the spec asks for others")
    labels = {path.removesuffix(".gz"): path for path in files if "images" not in paths.name(path)}
    units = []
    for path in files:
        name = paths.name(path)
        if "images" not in name:
            continue
        partner = path.removesuffix(name) + name.replace("images", "labels").replace("idx3", "idx1")
        if partner.removesuffix(".gz") not in labels:
            raise UsageError(f"{path}: no labels file; expected {partner} among the files")
        units.append(whole_unit(path, whole_unit(labels.pop(partner.removesuffix(".gz")))))
    if labels:
        raise UsageError(f"{min(labels.values())}: no images file beside it; a glob must match both")
    return units


def read_idx(path: str, known: Entry | None = None) -> np.ndarray:
    """The uint8 array of an IDX file, of the shape in its header. A short or foreign file raises `RunError`."""
    with open_text(path, known) as file:
        content = file.read()
    if len(content) < 4 or content[:3] != bytes([0, 0, IDX_UINT8]):
        raise RunError(f"{path}: not an IDX file of bytes; it starts with {content[:4]!r}")
    rank = content[3]
    start = 4 + 4 * rank
    shape = struct.unpack(f">{rank}I", content[4:start].ljust(4 * rank, b"\0"))
    if len(content) - start != math.prod(shape):
        raise RunError(
            f"{path}: {'cut short' if len(content) - start < math.prod(shape) else 'too long'}: "
            f"{max(0, len(content) - start):,} bytes of data, expected {math.prod(shape):,} for shape "
            f"{'x'.join(map(str, shape))}"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def read_images(spec: InputSpec, unit: Unit) -> Columns:
    """The columns of an IDX pair, for a spec of one feature of pixels and an integer label."""
    (feature,) = spec.features
    assert unit.labels
    images, labels = (read_idx(file.path, file.known) for file in (unit, unit.labels))
    if labels.ndim != 1 or len(images) != len(labels):
        raise RunError(f"{unit.labels.path}: {labels.size:,} labels for the {len(images):,} images of {unit.path}")
    if math.prod(images.shape[1:]) != math.prod(feature.shape):
        raise RunError(
            f"{unit.path}: {math.prod(images.shape[1:])} pixels an image, expected {math.prod(feature.shape)}"
        )
    return {
        feature.name: images.reshape(len(images), *feature.shape),
        spec.label.name: labels.astype(spec.label.stored_dtype),
    }


def count_idx(path: str) -> int:
    """The number of images in an IDX file, from its header; of a labels file none."""
    if "images" not in paths.name(path):
        return 0
    with open_text(path) as file:
        return int(struct.unpack(">I", file.read(8)[4:].ljust(4, b"\0"))[0])


def read_tfrecord(spec: InputSpec, unit: Unit) -> Columns:
    """The columns of a TFRecord file. A damaged record, or one that is not as the spec says, raises `RunError`."""
    parts: list[Columns] = []
    for table, first in tables(spec, unit):
        try:
            encoded = encoding.encode(spec, table)
        except ARROW_ERRORS as error:
            bad = encoding.inspect(spec, table).bad[0]
            raise RunError(f"{unit.path}: record {first + bad.number}: {bad.problem}") from error
        encoding.check_vocabulary(spec, encoded.words, unit.path)
        parts.append(encoded.columns)
    return concatenate(spec, parts)


def tables(spec: InputSpec, unit: Unit) -> Iterator[tuple[pa.Table, int]]:
    """What the spec reads of a TFRecord file, not yet encoded, and the number of each table's first record, from 0.

    A damaged record, or one without a feature or with one of another type, raises `RunError`.
    """
    first = 0
    with open_text(unit.path, unit.known) as file:
        for batch in _batches(framed(file, unit.path)):
            yield _table(spec, batch, unit.path, first), first
            first += len(batch)


def count_tfrecord(path: str) -> int:
    """The number of whole records. A damaged one raises `RunError`."""
    with open_text(path) as file:
        return sum(1 for _ in framed(file, path))


def write_tfrecord(path: str, images: np.ndarray, labels: np.ndarray) -> None:
    """Write uint8 images (N, H, W) or (N, H, W, C) and integer labels (N,) in the layout of 2017, whole or not at all.

    It is compressed where the name says `.gz`.
    """
    import tensorflow as tf  # here and below: the other formats start a run without waiting for it

    if images.dtype != np.uint8 or images.ndim not in (3, 4) or labels.shape != images.shape[:1]:
        raise UsageError(
            f"{path}: images {images.dtype}{images.shape} and labels {labels.shape}; "
            "expected uint8 (N, H, W) or (N, H, W, C) and (N,)"
        )
    height, width, depth = (*images.shape[1:], 1)[:3]
    shape = {"height": height, "width": width, "depth": depth}
    content = bytearray()
    for image, label in zip(images, labels, strict=True):
        example = tf.train.Example()
        for key, value in {**shape, "label": int(label)}.items():
            example.features.feature[key].int64_list.value.append(value)
        example.features.feature["image_raw"].bytes_list.value.append(image.tobytes())
        content += _framed(example.SerializeToString(deterministic=True))
    paths.write_bytes(path, gzip.compress(content, mtime=0) if compressed(path) else bytes(content))


def _framed(data: bytes) -> bytes:
    size = struct.pack("<Q", len(data))
    return size + CHECKSUM.pack(_checksum(size)) + data + CHECKSUM.pack(_checksum(data))


def framed(file: BinaryIO, path: str) -> Iterator[bytes]:
    """The records' data, each checked against its checksum."""
    number = 0
    while head := file.read(LENGTH.size):
        if len(head) < LENGTH.size or LENGTH.unpack(head)[1] != _checksum(head[:8]):
            raise RunError(f"{path}: record {number}: damaged or cut short: its length has a bad checksum")
        size = LENGTH.unpack(head)[0]
        body = file.read(size + CHECKSUM.size)
        data, checksum = body[:size], body[size:]
        if len(body) < size + CHECKSUM.size:
            raise RunError(f"{path}: record {number}: cut short: {len(data):,} bytes of data, expected {size:,}")
        if CHECKSUM.unpack(checksum)[0] != _checksum(data):
            raise RunError(f"{path}: record {number}: damaged: its data has a bad checksum")
        yield data
        number += 1


def _checksum(data: bytes) -> int:
    """The masked crc32c of TFRecord files: rotated by 15 bits, plus a constant."""
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _batches(records: Iterator[bytes]) -> Iterator[list[bytes]]:
    while batch := list(itertools.islice(records, EXAMPLES_A_PARSE)):
        yield batch


def _table(spec: InputSpec, records: list[bytes], path: str, first: int) -> pa.Table:
    """What the spec reads of serialized Examples."""
    import tensorflow as tf

    try:
        parsed = tf.io.parse_example(records, {_key(f): _parsing(f, tf) for f in spec.read})
    except tf.errors.InvalidArgumentError as error:
        raise RunError(f"{path}: a record from {first} on does not fit: {' '.join(error.message.split())}") from error
    return pa.table({f.name: _arrow(f, parsed[_key(f)].numpy()) for f in spec.read})


def _key(feature: Feature) -> str:
    return feature.record or feature.name


def _parsing(feature: Feature, tf: Any) -> Any:
    if feature.record or feature.vocabulary:
        return tf.io.FixedLenFeature([], tf.string)
    return tf.io.FixedLenFeature(feature.shape, tf.int64 if feature.dtype == "int64" else tf.float32)


def _arrow(feature: Feature, values: np.ndarray) -> pa.Array:
    if feature.record or not feature.shape:
        return pa.array(values, pa.binary() if values.dtype == object else None)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), math.prod(feature.shape))
