"""Whether a written export answers as the model did that it was written from.

difference(folder, {"serving_default": {"x": rows}}, {"y": answers})     # None: it does
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from trainer.serving import model as serving
from trainer.serving.protocol import PredictionError


LIMIT = 1e-5
LAST_BIT = {tf.bfloat16: 2.0**-7, tf.float16: 2.0**-10}  # as a share of the value
SHOWN = 80  # characters of a value


def difference(
    folder: str, requests: Mapping[str, Mapping[str, np.ndarray]], answers: Mapping[str, np.ndarray]
) -> str | None:
    """Call every signature with its request and say where the first output is that is not as in `answers`.

    `requests` has {signature: {key: (B, ...)}}, `answers` {key: (B, ...)}, strings as bytes.
    """
    try:
        model = serving.load(folder)
    except PredictionError as error:
        return error.detail.removeprefix(f"{folder}: ")
    if model.signatures.keys() != requests.keys():
        return f"signatures {', '.join(model.signatures)}; expected {', '.join(sorted(requests))}"
    for name, columns in requests.items():
        signature = model.signatures[name]
        if signature.inputs.keys() != columns.keys():
            return f"signature {name}: inputs {', '.join(signature.inputs)}; expected {', '.join(sorted(columns))}"
        if signature.outputs.keys() != answers.keys():
            return f"signature {name}: outputs {', '.join(signature.outputs)}; expected {', '.join(sorted(answers))}"
        try:
            outputs = serving.call(model, signature, columns)
        except PredictionError as error:
            return f"signature {name}: {error.detail}"
        for key in sorted(answers):
            if unequal := _unequal(outputs[key], answers[key]):
                return f"signature {name}: {key}: {unequal}"
    return None


def _unequal(served: Any, live: np.ndarray) -> str | None:
    """The first row in which an output differs; None where none does."""
    served = np.asarray(served, live.dtype if isinstance(served, bytes) else None)
    for what, ours, expected in (("dtype", served.dtype, live.dtype), ("shape", served.shape, live.shape)):
        if ours != expected:
            return f"{what} {ours} in the export, {expected} in the live model"
    equal = np.atleast_1d(_equal(served, live))
    if equal.all():
        return None
    place = np.unravel_index(int(np.argmin(equal)), equal.shape)
    row, *within = map(int, place)
    inner = f"[{', '.join(map(str, within))}]" if within else ""
    pair = [np.atleast_1d(values)[place] for values in (served, live)]
    limit = f"; the limit is {_limit(pair[1]):.2g}" if _is_inexact(live.dtype) and np.isfinite(pair[1]) else ""
    return f"row {row}{inner}: {_shown(pair[0])} in the export, {_shown(pair[1])} in the live model{limit}"


def _equal(served: np.ndarray, live: np.ndarray) -> np.ndarray:
    """Where two arrays are equal, as far as their dtype goes. NaN equals NaN, and infinity itself alone."""
    if not _is_inexact(live.dtype):
        return np.asarray(served == live)
    wide = np.complex128 if live.dtype.kind == "c" else np.float64
    a, b = served.astype(wide), live.astype(wide)
    with np.errstate(invalid="ignore", over="ignore"):
        near = np.abs(a - b) <= _limit(live)
    return np.asarray((a == b) | (np.isnan(a) & np.isnan(b)) | (near & np.isfinite(a) & np.isfinite(b)))


def _is_inexact(dtype: np.dtype[Any]) -> bool:
    known = tf.as_dtype(dtype)
    return bool(known.is_floating or known.is_complex)


def _limit(live: Any) -> Any:
    """How far an output may be from the live model's: 1e-5, of a value beyond 1 that share of it.

    Of a dtype with fewer bits it is the last of them: two ways to compute a value may round it apart.
    """
    share = LAST_BIT.get(tf.as_dtype(live.dtype), LIMIT)
    return share * np.maximum(1.0, np.abs(live.astype(np.complex128 if live.dtype.kind == "c" else np.float64)))


def _shown(value: Any) -> str:
    text = repr(value) if isinstance(value, bytes) else str(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
