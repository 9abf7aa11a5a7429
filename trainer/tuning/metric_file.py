"""The file in which a trial tells its tuner what it measured, as cloudml-hypertune writes it.

    metric_file.write(path, "rmse", [Measurement(step=600, value=1.06, time=1795689840.5)], trial="3")
    metric_file.read(path, "rmse")            # [Measurement(600, 1.06, 1795689840.5)]

The services say in CLOUD_ML_HP_METRIC_FILE where it is, and read the last line. A line is a JSON object:

    {"checkpoint_path": "", "global_step": "600", "rmse": "1.06", "timestamp": 1795689840.5, "trial": "3"}
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trainer import strictjson
from trainer.errors import MissingError
from trainer.storage import paths


KEPT = 100  # lines, as there


@dataclass(frozen=True)
class Measurement:
    """What an evaluation found."""

    step: int
    value: float
    time: float  # of the evaluation, in seconds since 1970


def write(path: str, tag: str, measurements: Sequence[Measurement], *, trial: str) -> None:
    """Replace the file by one with the last of the measurements, in order. Its folder is made."""
    lines = [
        {
            "checkpoint_path": "",
            "global_step": str(each.step),
            tag: str(float(each.value)),
            "timestamp": float(each.time),
            "trial": trial or "0",
        }
        for each in measurements[-KEPT:]
    ]
    texts = [strictjson.dumps(dict(sorted(line.items()))) + "\n" for line in lines]
    paths.write_bytes(path, "".join(texts).encode())


def read(path: str, tag: str) -> list[Measurement]:
    """The measurements with a tag, in the order of the lines; none where there is no file.

    A line that is none is left out, as is a value that is no finite number: another program may be writing it.
    """
    try:
        content = paths.read_bytes(path)
    except MissingError:
        return []
    found = (_measurement(line, tag) for line in content.splitlines())
    return [each for each in found if each]


def _measurement(line: bytes, tag: str) -> Measurement | None:
    try:
        fields: Any = json.loads(line)
        measured = Measurement(int(fields["global_step"]), float(fields[tag]), float(fields["timestamp"]))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
    return measured if math.isfinite(measured.value) and math.isfinite(measured.time) else None
