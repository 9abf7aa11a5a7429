"""Many files at once between a local folder and a bucket.

there = transfer.mirror(folder, files, "gs://bucket/job/checkpoints/1000", last=frozenset(), seal="COMMITTED")
transfer.fetch("gs://bucket/job/checkpoints/1000", there, folder)
"""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from google.api_core import exceptions as api
from google.cloud.storage import transfer_manager

from trainer.errors import ConflictError, RunError
from trainer.storage import client, gcs, local
from trainer.storage.entry import Entry


def mirror(
    folder: str, files: Mapping[str, Entry], destination: str, *, last: frozenset[str], seal: str
) -> dict[str, Entry]:
    """Make the objects below `destination` be the files of a local folder, and return them as they are listed.

    `files` has the name, size and crc32c of each file. What an attempt that was broken off has left there is used where
    it is right and removed where it is not. Files whose base names are in `last` are sent after the others. Where an
    object named `seal` is found, all is left as it is.
    """
    missing, strangers = list(files), False
    for _ in range(client.ATTEMPTS):
        for late in (False, True):
            _upload_many(folder, [name for name in missing if (name.rsplit("/", 1)[-1] in last) == late], destination)
        there = gcs.list_files(destination)
        wrong = [name for name, entry in there.items() if not _same(entry, files.get(name))]
        missing = [name for name in files if name in wrong or name not in there]
        if seal in there or not (wrong or missing):
            return there
        if strangers and there.keys() - files.keys():
            break
        strangers = True
        for name in wrong:
            gcs.delete(f"{destination}/{name}")
    raise ConflictError(f"{destination}: what is there is not what was sent; is another run writing to this folder?")


def fetch(source: str, files: Mapping[str, Entry], folder: str) -> None:
    """Download objects, of the generations and with the checksums in `files`, into a local folder."""
    bucket, prefix = gcs.split(source)
    missing = list(files)
    for name in missing:
        if not all(part.strip(".") for part in name.split("/")):
            raise RunError(f"{source}/{name}: such a name leads out of a folder on a disk; expected one without ..")
        os.makedirs(os.path.dirname(f"{folder}/{name}"), exist_ok=True)
    for _ in range(client.ATTEMPTS):
        blobs = [client.bucket(bucket).blob(f"{prefix}/{n}", generation=int(files[n].version)) for n in missing]
        pairs = [(blob, f"{folder}/{name}") for name, blob in zip(missing, blobs, strict=True)]
        _many(source, partial(transfer_manager.download_many, pairs, download_kwargs=gcs.TRANSFER | client.LIMITS))
        missing = [n for n in missing if not _is_whole(f"{folder}/{n}", files[n])]
        if not missing:
            return
    raise RunError(f"{source}/{missing[0]}: arrived with another checksum than it is stored with")


def clear(folder: str, *, last: str) -> None:
    """Remove all objects below a folder, each by itself, the one named `last` at the end; any may be gone already."""
    names = gcs.list_files(folder).keys()
    with ThreadPoolExecutor(gcs.THREADS) as pool:
        list(pool.map(gcs.delete, [f"{folder}/{name}" for name in names if name != last]))
    if last in names:
        gcs.delete(f"{folder}/{last}")


def _upload_many(folder: str, names: list[str], destination: str) -> None:
    """Send files at once. What has arrived, and how, is the next listing's affair."""
    pairs = [(f"{folder}/{name}", gcs.blob_of(f"{destination}/{name}")) for name in names]
    # There may be one already, or the session of an upload in parts is gone, if the last answer of an attempt was lost.
    expected = (api.PreconditionFailed, api.NotFound)
    settings: dict[str, Any] = {"skip_if_exists": True, "upload_kwargs": gcs.TRANSFER | client.LIMITS}
    _many(destination, partial(transfer_manager.upload_many, pairs, **settings), *expected)


def _many(path: str, transfer: Callable[..., list[Any]], *expected: type[Exception]) -> None:
    """Transfer files in threads, all again while the trouble of one may pass. What arrived damaged is passed over."""

    def send() -> None:
        for outcome in transfer(worker_type=transfer_manager.THREAD, max_workers=gcs.THREADS):
            if isinstance(outcome, BaseException) and not isinstance(outcome, expected):
                with client.passing_over_damage():
                    raise outcome

    client.request(path, send)


def _is_whole(path: str, expected: Entry) -> bool:
    return os.path.exists(path) and local.checksum(path) == expected.crc32c


def _same(there: Entry, sent: Entry | None) -> bool:
    return sent is not None and (there.size, there.crc32c) == (sent.size, sent.crc32c)
