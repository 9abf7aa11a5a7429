"""An object read by ranges of bytes, all of one generation, whatever becomes of the object meanwhile."""

import io
from functools import partial
from typing import Any

from google.cloud.storage import Blob

from trainer.errors import MissingError, RunError
from trainer.storage import client
from trainer.storage.entry import CHANGED


class Ranges(io.RawIOBase):
    """A raw stream over an object: each `readinto` is one request, sent again if it fails.

    `blob` has the generation to read; once that is gone, `RunError`. `size` is the object's.
    """

    def __init__(self, path: str, blob: Blob, size: int) -> None:
        self._path = path
        self._blob = blob
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readall(self) -> bytes:
        return self.read(max(0, self._size - self._position)) or b""  # by itself it reads 8 KB at once

    def readinto(self, buffer: Any) -> int:
        wanted = max(0, min(len(buffer), self._size - self._position))
        if not wanted:
            return 0
        try:
            content = client.request(self._path, partial(self._read, self._position, wanted))
        except MissingError as error:
            raise RunError(f"{self._path}: {CHANGED}") from error
        if len(content) != wanted:
            raise RunError(f"{self._path}: {CHANGED}")
        buffer[:wanted] = content
        self._position += wanted
        return wanted

    def _read(self, start: int, size: int) -> bytes:
        content: bytes = self._blob.download_as_bytes(
            start=start,
            end=start + size - 1,
            raw_download=True,  # as it is stored, also where that is compressed
            single_shot_download=True,  # in one piece: many small ones take more time than the network
            checksum=None,  # servers only tell that of the whole object
            **client.LIMITS,
        )
        return content
