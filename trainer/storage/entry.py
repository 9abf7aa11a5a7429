"""What is known of a file or an object without reading it."""

from dataclasses import dataclass
from typing import BinaryIO

import google_crc32c


CHUNK_BYTES = 1 << 22
CHANGED = "was changed while it was being read; expected the same content all along"


@dataclass(frozen=True)
class Entry:
    """`version` is another one whenever the content is: an object's generation, or a file's time of change."""

    size: int  # bytes
    version: str
    modified: float  # unix seconds, by the clock of where it is stored
    crc32c: str = ""  # 8 hexadecimal digits; empty where it takes a reading to know
    is_object: bool = False


def crc32c_text(value: int) -> str:
    """A crc32c as manifests have it."""
    return f"{value:08x}"


def crc32c_of(file: BinaryIO) -> str:
    """The crc32c of what is left to read, read in parts, since a model may be larger than what memory is left."""
    value = 0
    while chunk := file.read(CHUNK_BYTES):
        value = google_crc32c.extend(value, chunk)
    return crc32c_text(value)
