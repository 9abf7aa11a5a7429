"""One writer a job dir: the right to write there, held by one run at a time.

    lease = lease.acquire(job_dir)           # raises RunError, naming the holder, while another run has it
    lease.check()                            # raises RunError when it was lost since
    lease.release()
    lease.holder(job_dir)                    # who has it, or None

In a bucket it is the object `LEASE`, which its holder renews; who has not renewed it for `LASTS_S` has lost it, by the
server's clock, since those of two machines may differ. A holder on this very machine that is not running any more has
lost it at once. On a disk it is a lock on the file `LEASE`, which the system frees when the process ends.
"""

import contextlib
import fcntl
import json
import logging
import math
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import IO, Any, Protocol

from trainer.errors import ConflictError, MissingError, RunError, reason
from trainer.storage import paths


NAME = "LEASE"
LASTS_S = 45.0
RENEWED_EVERY_S = 15.0
LOOKED_AT_S = 0.5  # `holder` locks a file for an instant
AGAIN_S = 1.0
log = logging.getLogger("trainer.storage")


class Lease(Protocol):
    """The right to write to a job dir."""

    @property
    def holder(self) -> str:
        """What tells the one who has it from all others; see `holder`."""

    def check(self) -> None:
        """Raise `RunError` when another run may have it by now."""

    def release(self) -> None:
        """Give it back."""


def acquire(job_dir: str) -> Lease:
    """The lease of a job dir, which must be there. Raises `ConflictError`, naming the holder, while it is held."""
    path = paths.join(job_dir, NAME)
    who = {"holder": f"{socket.gethostname()}, process {os.getpid()}", "process": _process(os.getpid())}
    holder = json.dumps({**who, "nonce": secrets.token_hex(8)})  # one process may have it twice
    try:
        return _acquire_object(path, holder) if paths.is_remote(job_dir) else _acquire_file(path, holder)
    except OSError as error:
        raise RunError(f"{path}: {reason(error)}") from error


def awaited(job_dir: str, *, whose: str, between: Callable[[], None], most_s: float = math.inf) -> Lease:
    """As `acquire`, but wait for who has it, at most `most_s` seconds; `between` is called now and then, may raise.

    `whose` says in the log for whom this waits.
    """
    began, said = time.monotonic(), False
    while True:
        try:
            return acquire(job_dir)
        except ConflictError:
            if time.monotonic() - began > most_s:
                raise
            if not said:
                log.info("waiting for %s to let go of %s", whose, paths.join(job_dir, NAME))
                said = True
        between()
        time.sleep(AGAIN_S)


def holder(job_dir: str) -> str | None:
    """Who has the lease of a job dir: the same text as long as it is the same run, None when nobody has it."""
    path = paths.join(job_dir, NAME)
    if not paths.is_remote(job_dir):
        return _holder_of_file(path)
    from trainer.storage import client

    found, entry = _look(path)
    if not entry or _is_free(found, client.server_time() - entry.modified):
        return None
    return found.decode(errors="replace").strip()


@dataclass(frozen=True)
class FileLease:
    """A locked file."""

    file: IO[bytes]
    holder: str

    def check(self) -> None:
        """The lock stays until it is given back."""

    def release(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # a full disk; a lease that was given back
            self.file.truncate(0)  # or `holder` could take this one for the next
        self.file.close()


def _acquire_file(path: str, holder: str) -> FileLease:
    file = open(path, "ab+", buffering=0)  # noqa: SIM115 -- open as long as it is held
    began = time.monotonic()
    while not _lock(file, fcntl.LOCK_EX):
        if time.monotonic() - began > LOOKED_AT_S:
            file.seek(0)
            found = file.read()
            file.close()
            raise ConflictError(_held(path, found, "it is running"))
        time.sleep(LOOKED_AT_S / 10)
    with contextlib.suppress(OSError):  # a full disk: the lock is what counts, not the name of who has it
        file.truncate(0)
        file.write(holder.encode() + b"\n")
    return FileLease(file, holder)


def _lock(file: IO[bytes], kind: int) -> bool:
    """Whether the file could be locked, at once."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:  # a file system without locks
        log.debug("%s: cannot be locked: %s", file.name, error)
    return True


def _holder_of_file(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            if _lock(file, fcntl.LOCK_SH):
                return None
            return file.read().decode(errors="replace").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunError(f"{path}: {reason(error)}") from error


class ObjectLease:
    """An object that a thread renews."""

    def __init__(self, path: str, holder: str, generation: int) -> None:
        self.holder = holder
        self._path = path
        self._generation = generation
        self._renewed = time.monotonic()
        self._lost = ""
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        if not self._lost and time.monotonic() - self._renewed > LASTS_S / 2:
            self._renew()
        if self._lost:
            raise RunError(self._lost)

    def release(self) -> None:
        self._ended.set()
        self._thread.join()
        if not self._lost:
            with contextlib.suppress(RunError):  # it expires anyway
                _gcs().remove_generation(self._path, self._generation)

    def _keep(self) -> None:
        while not self._ended.wait(RENEWED_EVERY_S):
            self._renew()

    def _renew(self) -> None:
        with self._lock:
            try:
                self._generation = _gcs().write_bytes(self._path, self.holder.encode(), generation=self._generation)
                self._renewed = time.monotonic()
            except (ConflictError, MissingError):
                who = "another run"
                with contextlib.suppress(RunError):
                    who = _parsed(_look(self._path)[0]).get("holder", who)
                self._lost = f"{self._path}: was taken over by {who}; this run stops, and what it has committed is kept"
            except RunError as error:
                log.warning("the lease of the job dir could not be renewed: %s", error)
                if time.monotonic() - self._renewed > LASTS_S:
                    self._lost = (
                        f"{self._path}: could not be renewed for {LASTS_S:.0f} s, another run may have it: {error}"
                    )


def _acquire_object(path: str, holder: str) -> ObjectLease:
    from trainer.storage import client  # Google's takes a while to import

    found, entry = _look(path)
    if entry:
        age = client.server_time() - entry.modified
        if not _is_free(found, age):
            raise ConflictError(_held(path, found, f"it ends in {LASTS_S - age:.0f} s unless it is renewed"))
    try:
        generation = _gcs().write_bytes(path, holder.encode(), generation=int(entry.version) if entry else 0)
    except ConflictError as error:
        raise ConflictError(_held(path, _look(path)[0], "it was first")) from error
    return ObjectLease(path, holder, generation)


def _is_free(found: bytes, age_s: float) -> bool:
    """Whether a lease that says this, and was renewed so long ago, holds no more."""
    return age_s >= LASTS_S or _is_over(_parsed(found).get("process"))


def _look(path: str) -> tuple[bytes, Any]:
    """The content of a lease and what is known of the object; nothing and None where there is none.

    The content may be of a later generation than what is known, but then nothing is replaced by that knowledge.
    """
    with contextlib.suppress(MissingError):
        entry = paths.stat(path)
        return paths.read_bytes(path), entry
    return b"", None


def _held(path: str, found: bytes, detail: str) -> str:
    who = _parsed(found).get("holder", "another run")
    return f"{paths.parent(path)}: {who} holds the lease to write here ({detail}); expected one run a job dir"


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _process(pid: int) -> str:
    """What no other process is called, on this machine or another: boot, namespace of pids, pid and time of start."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        state, *rest = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        ended = "Z"  # and nobody has asked how yet
        return "" if state == ended else "/".join((boot, os.readlink("/proc/self/ns/pid"), str(pid), rest[18]))
    except (OSError, IndexError):
        return ""


def _is_over(process: Any) -> bool:
    """Whether a process, as `_process` calls it, is one of this machine that has ended."""
    ours = _process(os.getpid()).split("/")
    parts = process.split("/") if isinstance(process, str) else []
    if len(parts) != 4 or parts[:2] != ours[:2] or not parts[2].isdecimal():
        return False
    return bool(_process(int(parts[2])) != process)


def _gcs() -> ModuleType:
    from trainer.storage import gcs  # Google's client takes a while to import

    return gcs
