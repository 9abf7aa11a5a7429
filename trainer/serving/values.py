"""JSON values as NumPy arrays of a given dtype and shape, and back.

    values.array("float32", [[1, 2.5], [3, 4]], (2,))        # (2, 2) float32
    values.plain(np.array([1.5, np.nan], np.float32))        # [1.5, "NaN"]

What does not fit raises `ValueError`; `explain` then says where exactly, what is there, and what should be.
"""

import base64
import json
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np


WHOLE = {"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"}
NARROW = {"bfloat16": np.float32}  # NumPy itself has no bfloat16; whoever calls the model narrows it
FLOATS = {"float16": np.float16, "float32": np.float32, "float64": np.float64, **NARROW}
NOT_FINITE = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
SHOWN_CHARACTERS = 60


def array(dtype: str, values: list[Any], sizes: Sequence[int | None]) -> np.ndarray:
    """Nested lists as an array (len(values), *sizes), strings as bytes. Raises `ValueError` for what does not fit."""
    shape, flat = [len(values)], values
    for size in sizes:
        if not set(map(type, flat)) <= {list}:
            raise ValueError("not a list")
        lengths = set(map(len, flat)) or {size or 0}
        if len(lengths) != 1 or (size is not None and lengths != {size}):
            raise ValueError("wrong length")
        shape.append(lengths.pop())
        flat = list(chain.from_iterable(flat))
    try:
        return (_strings(flat) if dtype == "string" else _numbers(dtype, flat)).reshape(shape)
    except OverflowError as error:
        raise ValueError("out of range") from error


def depth(value: Any) -> int:
    """How many lists are nested in each other, along the first items."""
    return 1 + depth(value[0] if value else None) if isinstance(value, list) else 0


def fits(dtype: str, value: Any, sizes: Sequence[int | None]) -> bool:
    """Whether `array` takes the value."""
    try:
        array(dtype, [value], sizes)
    except ValueError:
        return False
    return True


def explain(place: str, dtype: str, value: Any, sizes: Sequence[int | None]) -> str:
    """The place inside a value that does not fit, what is there, and what should be."""
    if sizes and isinstance(value, list) and sizes[0] in (None, len(value)):
        for index, item in enumerate(value):
            if not fits(dtype, item, sizes[1:]):
                return explain(f"{place}[{index}]", dtype, item, sizes[1:])
    quoted = dtype == "string" and not sizes and isinstance(value, bool | int | float)
    hint = f", as {json.dumps(str(value))}" if quoted else ""
    return f"{place}: {shown(value)}: expected {_expected(dtype, sizes)}{hint}"


def plain(values: np.ndarray) -> list[Any]:
    """An array of numbers or booleans as nested lists that JSON can hold. Raises `ValueError` for another dtype."""
    if "float" in values.dtype.name:
        wide = values.astype(np.float64)
        listed: list[Any] = wide.tolist()
        return listed if np.isfinite(wide).all() else [_finite(value) for value in listed]
    if values.dtype.kind not in "biu":
        raise ValueError(f"dtype {values.dtype}: expected numbers, booleans or strings")
    numbers: list[Any] = values.tolist()
    return numbers


def text(value: Any) -> Any:
    """Bytes, in lists or not, as text. Raises `UnicodeDecodeError`."""
    if isinstance(value, list):
        return [text(item) for item in value]
    return value.decode() if isinstance(value, bytes) else value


def encode_base64(value: Any) -> Any:
    """Bytes, in lists or not, as `{"b64": text}`."""
    if isinstance(value, list):
        return [encode_base64(item) for item in value]
    return {"b64": base64.b64encode(value if isinstance(value, bytes) else value.encode()).decode()}


def decode_base64(value: Any) -> Any:
    """The value with each `{"b64": text}`, at any depth, replaced by the bytes. Raises `ValueError`."""
    if isinstance(value, list):
        # Most lists are long and of numbers: look at the types before walking through.
        return [decode_base64(item) for item in value] if {list, dict} & set(map(type, value)) else value
    if not isinstance(value, dict):
        return value
    if value.keys() != {"b64"}:
        return {key: decode_base64(item) for key, item in value.items()}
    try:
        return base64.b64decode("".join(value["b64"].split()), validate=True)
    except (AttributeError, ValueError) as error:
        raise ValueError(f"b64: {shown(value['b64'])}: expected base64 text") from error


def shown(value: Any) -> str:
    """A value in a line of text: as JSON, cut when it is long."""
    whole = json.dumps(value, default=repr)
    if len(whole) <= SHOWN_CHARACTERS:
        return whole
    return whole[:SHOWN_CHARACTERS] + "…" + (f" ({len(value)} values)" if isinstance(value, list) else "")


def _strings(flat: list[Any]) -> np.ndarray:
    if not set(map(type, flat)) <= {str, bytes}:
        raise ValueError("not a string")
    strings = np.empty(len(flat), object)
    strings[:] = [value if isinstance(value, bytes) else value.encode() for value in flat]
    return strings


def _numbers(dtype: str, flat: list[Any]) -> np.ndarray:
    types = set(map(type, flat))  # exact types: to isinstance a bool is an int
    if dtype == "bool" and types <= {bool}:
        return np.array(flat, bool)
    if dtype in WHOLE and types <= {int, float}:
        whole = [int(value) for value in flat]
        if whole != flat:
            raise ValueError("not whole")
        return np.array(whole, dtype)
    if dtype not in FLOATS or not types <= {int, float, str}:
        raise ValueError("not a number")
    if str in types:
        if not {value for value in flat if isinstance(value, str)} <= NOT_FINITE.keys():
            raise ValueError("not a number")
        flat = [NOT_FINITE[value] if isinstance(value, str) else value for value in flat]
    wide = np.array(flat, np.float64)
    with np.errstate(over="ignore"):
        narrow = wide.astype(FLOATS[dtype])
    if (np.isinf(narrow) & ~np.isinf(wide)).any():
        raise OverflowError("too large")
    return narrow


def _finite(value: Any) -> Any:
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if value != value:
        return "NaN"
    return value if abs(value) != float("inf") else ("Infinity" if value > 0 else "-Infinity")


def _expected(dtype: str, sizes: Sequence[int | None]) -> str:
    noun = {"string": "string", "bool": "boolean"}.get(dtype, "whole number" if "int" in dtype else "number")
    kind = "" if dtype in ("string", "bool") else f" ({dtype})"
    if not sizes:
        return f"a {noun}{kind}"
    if len(sizes) > 1:
        shape = ", ".join("any" if size is None else str(size) for size in sizes)
        return f"nested lists of {noun}s{kind}, shape [{shape}]"
    if sizes[0] == 1:
        return f"a list of one {noun}{kind}"
    return f"a list of {noun}s{kind}" if sizes[0] is None else f"a list of {sizes[0]} {noun}s{kind}"
