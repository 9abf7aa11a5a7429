"""The errors that a user can cause: one line that names the thing, the value and the expectation."""


class RunError(Exception):
    """The run failed for a reason the user can mend: bad data, a full disk, a loss that is not a number."""

    exit_code = 1


class UsageError(RunError):
    """The run could not start: a flag, a path or a configuration is wrong."""

    exit_code = 2
