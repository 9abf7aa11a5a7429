"""The times of resources and log entries, as RFC 3339 has them.

times.text(time.time_ns())          # 2026-11-26T10:50:26.123456789Z
times.nanoseconds("2026-11-26T10:50:26Z")
"""

import calendar
import re
import time

from trainer.cloud.emulator.errors import ServiceError


FORM = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")


def text(nanoseconds: int) -> str:
    """Nanoseconds since 1970 as a time of UTC, with all nine digits so that such texts sort."""
    seconds, rest = divmod(nanoseconds, 10**9)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:09}Z"


def now() -> str:
    """This moment."""
    return text(time.time_ns())


def nanoseconds(written: str) -> int:
    """Nanoseconds since 1970. Raises `ServiceError` for a text that is no time."""
    found = FORM.fullmatch(written)
    if not found:
        raise ServiceError("INVALID_ARGUMENT", f"{written!r}: expected a time, such as 2026-01-31T12:00:00Z")
    *parts, fraction, zone = found.groups()
    seconds = calendar.timegm((*(int(part) for part in parts), 0, 0, 0))
    if zone != "Z":
        ahead = int(zone[1:3]) * 3600 + int(zone[4:]) * 60
        seconds -= ahead if zone[0] == "+" else -ahead
    return seconds * 10**9 + int((fraction or "0").ljust(9, "0"))
