"""The errors that a user can cause: one line that names the thing, the value and the expectation."""

import errno
import os


class RunError(Exception):
    """The run failed for a reason the user can mend: bad data, a full disk, a loss that is not a number."""

    exit_code = 1


class MissingError(RunError):
    """There is nothing at a path."""


class ConflictError(RunError):
    """Another writer was there first."""


class UsageError(RunError):
    """The run could not start: a flag, a path or a configuration is wrong."""

    exit_code = 2


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def reason(error: OSError) -> str:
    """What the operating system says, as the end of a sentence: `no space left on device`."""
    return error.strerror.lower() if error.strerror else refusal(str(error)) or str(error)


def refusal(text: str) -> str | None:
    """The words of a disk that is full or only read, where TensorFlow passes them on amid names of its own."""
    return next((words.lower() for words in map(os.strerror, FULL) if words in text), None)
