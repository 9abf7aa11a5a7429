"""Objects in Google Cloud Storage: what `paths` does for a `gs://` path.

A folder is what the names of some objects begin with. An object is there whole or not at all, so a write needs no
temporary name. Listings are consistent: what was written is in the next one.
"""

import base64
import contextlib
import fnmatch
import io
import re
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, BinaryIO, TypeVar, cast

from google.cloud.storage import Blob

from trainer.errors import ConflictError, MissingError, RunError
from trainer.storage import client
from trainer.storage.entry import Entry, crc32c_of, crc32c_text
from trainer.storage.ranges import Ranges


T = TypeVar("T")
SCHEME = "gs://"
BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
TRANSFER = {"checksum": "crc32c"}
SPOOLED_BYTES = 8 << 20
THREADS = 16
COURTESY_S = 5.0
NO_BUCKET = "no such bucket (404); expected one that these credentials may use"
FIELDS = "items(name,size,crc32c,generation,updated),prefixes,nextPageToken"


def identity(path: str) -> str:
    return path


def check(path: str) -> None:
    """Raise `RunError` for a URL that names no bucket."""
    split(path)


def matches(pattern: str) -> list[str]:
    """A `*` stands for any text without a `/`, `**/` for any folders; names that begin with a dot are left out."""
    fixed = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
    if fixed == pattern:
        return [pattern] if _is_object(pattern) else []
    folder = fixed[: fixed.rfind("/") + 1]
    expression = re.compile(_expression(pattern))
    found = [folder + name for name in _list(folder, fixed[len(folder) :], named=pattern)]
    if pattern in found:
        return [pattern]  # a name may have brackets of its own
    hidden = "/." not in pattern
    return sorted(p for p in found if expression.fullmatch(p) and not (hidden and "/." in p.removeprefix(folder[:-1])))


def exists(path: str) -> bool:
    return _is_object(path) or is_directory(path)


def is_directory(path: str) -> bool:
    return bool(_list(path.rstrip("/") + "/", most=1, named=path))


def stat(path: str) -> Entry:
    blob = blob_of(path)
    client.request(path, lambda: blob.reload(**client.LIMITS))
    return _entry(blob)


def list_names(directory: str) -> list[str]:
    bucket, name = split(directory)
    prefix = name.rstrip("/") + "/" if name else ""

    def names() -> set[str]:
        listing = client.bucket(bucket).list_blobs(prefix=prefix, delimiter="/", fields=FIELDS, **client.LIMITS)
        return {*(blob.name for blob in listing), *listing.prefixes}

    found = (name.removeprefix(prefix).rstrip("/") for name in _of_bucket(directory, names))
    return sorted(name for name in found if name)


def list_files(directory: str) -> dict[str, Entry]:
    return _list(directory.rstrip("/") + "/", named=directory)


def checksum(path: str) -> str:
    return stat(path).crc32c


def open_input(path: str, known: Entry | None, buffer_bytes: int) -> BinaryIO:
    found = known or stat(path)
    blob = blob_of(path, generation=int(found.version))
    return cast(BinaryIO, io.BufferedReader(Ranges(path, blob, found.size), buffer_bytes))


def read_bytes(path: str) -> bytes:
    blob = blob_of(path)
    for _ in range(client.ATTEMPTS):
        with client.passing_over_damage():
            return client.request(path, lambda: bytes(blob.download_as_bytes(checksum="crc32c", **client.LIMITS)))
    raise RunError(f"{path}: arrived with another checksum than it is stored with, {client.ATTEMPTS} times")


@contextlib.contextmanager
def open_output(path: str) -> Iterator[BinaryIO]:
    split(path)
    with tempfile.SpooledTemporaryFile(SPOOLED_BYTES) as file:
        yield cast(BinaryIO, file)
        file.seek(0)
        _upload(path, cast(BinaryIO, file))


def write_bytes(path: str, content: bytes, *, generation: int | None = None) -> int:
    """Write an object and return its generation. With a `generation` it replaces that one or, with 0, none.

    Raises `ConflictError` when another one is there, unless it holds the same.
    """
    return _upload(path, io.BytesIO(content), generation=generation)


def make_directory(directory: str) -> None:
    """There are no folders to make; this only proves that one could be written to."""
    probe = f"{directory.rstrip('/')}/.tmp-probe"
    try:
        write_bytes(probe, b"")
        delete(probe)
    except MissingError as error:
        raise RunError(f"{directory}: {NO_BUCKET}") from error
    except RunError as error:
        raise RunError(str(error).replace(probe, directory, 1)) from error


def remove(path: str) -> None:
    """Remove an object, or all whose names begin with `path/`; each is deleted alone, and may be gone already."""
    names = [f"{path.rstrip('/')}/{name}" for name in list_files(path)] or [path]
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(delete, names))


def remove_generation(path: str, generation: int) -> None:
    """Remove an object if it is still of this generation; not for long, since that is only a courtesy."""
    with contextlib.suppress(MissingError, ConflictError):
        blob, brief = blob_of(path), client.RETRY.with_timeout(COURTESY_S)
        client.request(path, lambda: blob.delete(if_generation_match=generation, **client.LIMITS), retry=brief)


def sync(directory: str) -> None:
    """What is written to a bucket stays there."""


def _upload(path: str, file: BinaryIO, *, generation: int | None = None) -> int:
    """Write an object, again where it arrived with another checksum, and return its generation.

    An attempt whose answer was lost may have written it: then the next is refused, but what is there is what was sent.
    """
    blob, size = blob_of(path), file.seek(0, io.SEEK_END)
    file.seek(0)
    expected = crc32c_of(file)

    def send(replaced: int | None) -> None:
        file.seek(0)
        blob.upload_from_file(file, size=size, if_generation_match=replaced, **TRANSFER, **client.LIMITS)

    for left in reversed(range(client.ATTEMPTS)):
        try:
            with client.passing_over_damage():
                client.request(path, partial(send, generation))
                if _entry(blob).crc32c == expected:
                    return int(blob.generation)
                generation = int(blob.generation)  # the damaged one is replaced, unless someone else did
        except ConflictError:
            there = stat(path)
            if (there.size, there.crc32c) != (size, expected):
                raise
            return int(there.version)
        except MissingError:  # the bucket, or the session of an upload in parts whose last answer was lost
            if not left:
                raise
    raise RunError(f"{path}: arrived with another checksum than it was sent with, {client.ATTEMPTS} times")


def delete(path: str) -> None:
    with contextlib.suppress(MissingError):
        client.request(path, lambda: blob_of(path).delete(**client.LIMITS))


def _is_object(path: str) -> bool:
    try:
        return bool(split(path)[1]) and bool(stat(path))
    except MissingError:
        return False


def _list(folder: str, beginning: str = "", *, most: int | None = None, named: str) -> dict[str, Entry]:
    """The objects below a folder whose names begin so, by what comes after the folder's own name.

    `named` is what errors name: what the user wrote.
    """
    bucket, prefix = split(folder)
    settings: dict[str, Any] = {"prefix": prefix + beginning, "max_results": most, "fields": FIELDS, **client.LIMITS}

    def entries() -> dict[str, Entry]:
        listing = client.bucket(bucket).list_blobs(**settings)
        return {blob.name.removeprefix(prefix): _entry(blob) for blob in listing}

    return {name: entry for name, entry in _of_bucket(named, entries).items() if not name.endswith("/")}


def _of_bucket(path: str, listing: Callable[[], T]) -> T:
    """What a listing returns; one that is not found has no bucket."""
    try:
        return client.request(path, listing)
    except MissingError as error:
        raise RunError(f"{path}: {NO_BUCKET}") from error


def _entry(blob: Blob) -> Entry:
    crc32c = crc32c_text(int.from_bytes(base64.b64decode(blob.crc32c), "big")) if blob.crc32c else ""
    return Entry(int(blob.size), str(blob.generation), blob.updated.timestamp(), crc32c, is_object=True)


def blob_of(path: str, *, generation: int | None = None) -> Blob:
    bucket, name = split(path)
    return client.bucket(bucket).blob(name, generation=generation)


def split(path: str) -> tuple[str, str]:
    """The bucket and the object's name; `RunError` where there is no bucket."""
    bucket, _, name = path.removeprefix(SCHEME).partition("/")
    if not path.startswith(SCHEME) or not BUCKET.fullmatch(bucket):
        raise RunError(f"{path}: {bucket!r} is not the name of a bucket; expected gs://BUCKET/PATH")
    return bucket, name


def _expression(pattern: str) -> str:
    """The regular expression of a glob."""
    parts = {"**/": "(?:[^/.][^/]*/)*", "**": "(?:[^/.][^/]*/)*[^/]*", "*": "[^/]*", "?": "[^/]"}
    words = re.split(r"((?<=/)\*\*(?:/|$)|\*|\?|\[!?\]?[^\]/]*\])", pattern)
    translated = [
        parts.get(w) or ("(?!/)" + fnmatch.translate(w)[4:-3] if w[:1] == "[" != w else re.escape(w)) for w in words
    ]
    return "".join(translated)
