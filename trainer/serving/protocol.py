"""The JSON rules of the prediction API: instances become columns, outputs become predictions.

    request = protocol.request(json.loads(body))
    signature = protocol.choose(signatures, request.signature_name)
    columns = protocol.columns(signature, request.instances)   # {"mother_age": (B,) float32, ...}
    predictions = protocol.rows(run(columns))                  # [{"outputs": 7.26}, ...]

The rules and the texts of the errors are Cloud ML Engine's. JSON has no NaN: a float output that is not finite is
written as the string "NaN", "Infinity" or "-Infinity", as protocol buffers do, so that any parser can read a response.
A request may hold these strings for a float, or the bare words that Python's own `json` writes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from trainer.errors import RunError
from trainer.serving import values


DEFAULT_SIGNATURE = "serving_default"


class Code(IntEnum):
    """The classes of errors, as Cloud ML Engine numbers them."""

    LOAD = 0
    INPUTS = 1
    RUN = 2
    OUTPUTS = 3
    USER_CODE = 4


MESSAGES = {
    Code.LOAD: "Failed to load model",
    Code.INPUTS: "Invalid inputs",
    Code.RUN: "Failed to run the provided model",
    Code.OUTPUTS: "There was a problem processing the outputs",
    Code.USER_CODE: "There was a problem processing the user code",
}


class PredictionError(RunError):
    """A prediction failed; reads `<message>: <detail> (Error code: n)`."""

    def __init__(self, code: Code, detail: str) -> None:
        super().__init__(f"{MESSAGES[code]}: {detail} (Error code: {code.value})")
        self.code = code
        self.detail = detail


@dataclass(frozen=True)
class TensorInfo:
    """One input or output: `shape` includes the batch, None is an unknown size, and no shape at all an unknown rank."""

    dtype: str
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True)
class Signature:
    """One way to call a model: its inputs and outputs by the keys that requests and responses use."""

    name: str
    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]


@dataclass(frozen=True)
class Request:
    """The body of a prediction request."""

    instances: list[Any]
    signature_name: str | None = None
    columnar: bool = False  # sent as columns, to be answered so


def request(body: Any) -> Request:
    """The request in a parsed JSON body. Raises `PredictionError` when `instances` is absent, not a list, or empty."""
    if not isinstance(body, dict) or "instances" not in body:
        raise _invalid(f'request: {values.shown(body)}: expected an object with the key "instances"')
    instances, signature_name = body["instances"], body.get("signature_name")
    if not isinstance(instances, list) or not instances:
        raise _invalid(f"instances: {values.shown(instances)}: expected a list with at least one instance")
    if signature_name is not None and not isinstance(signature_name, str):
        raise _invalid(f"signature_name: {values.shown(signature_name)}: expected a string")
    return Request(instances, signature_name or None)


def choose(signatures: Mapping[str, Signature], name: str | None = None) -> Signature:
    """The signature called `name`; without a name the only one, else `serving_default`."""
    if not name and len(signatures) == 1:
        return next(iter(signatures.values()))
    key = name or DEFAULT_SIGNATURE
    if key not in signatures:
        expected = ", ".join(sorted(signatures))
        raise _invalid(f"No signature found for signature key {key}. Expected one of: {expected}")
    return signatures[key]


def columns(signature: Signature, instances: Any, *, first: int = 0) -> dict[str, np.ndarray]:
    """One array per input, its first dimension the instances: (B, ...), strings as bytes.

    Errors count the instances from `first`, so that a part of a file can be named by its place in the whole.
    """
    listed = instances if isinstance(instances, list) else [instances]
    if not listed:
        raise _invalid("instances: []: expected a list with at least one instance")
    try:
        decoded = [values.decode_base64(instance) for instance in listed]
    except ValueError as error:
        raise _invalid(str(error)) from error
    except RecursionError as error:
        raise _invalid("instances: nested too deeply") from error
    named = _named_alone(signature, decoded) if len(signature.inputs) == 1 else _named(signature, decoded, first)
    return {name: _column(name, info, [i[name] for i in named], first) for name, info in signature.inputs.items()}


def rows(outputs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One dict per prediction, ready for JSON: {alias: (B, ...)} -> [{alias: value}] of length B, 1 for 0-d outputs."""
    batches = {alias: _batched(output) for alias, output in outputs.items()}
    sizes = {alias: len(batch) for alias, batch in batches.items()}
    if len(set(sizes.values())) != 1:
        raise PredictionError(
            Code.OUTPUTS,
            "Bad output from running tensorflow session: outputs had differing sizes in the batch (outer) dimension. "
            f"See the outputs and their size: {sizes}. Check your model for bugs that effect the size of the outputs.",
        )
    lists = [_plain(alias, batch) for alias, batch in batches.items()]
    return [dict(zip(batches, row, strict=True)) for row in zip(*lists, strict=True)]


def _named_alone(signature: Signature, instances: list[Any]) -> list[dict[str, Any]]:
    """The instances of a signature with one input, where the name may be left out."""
    (name,) = signature.inputs
    for instance in instances:
        if isinstance(instance, dict) and list(instance) != [name]:
            raise _invalid(f"Expected tensor name: {name}, got tensor name: {list(instance)}.")
    return [instance if isinstance(instance, dict) else {name: instance} for instance in instances]


def _named(signature: Signature, instances: list[Any], first: int) -> list[dict[str, Any]]:
    """The instances of a signature with several inputs, each proven to have every input and nothing else."""
    for index, instance in enumerate(instances, first):
        if not isinstance(instance, dict):
            keys = ", ".join(signature.inputs)
            raise _invalid(f"instances[{index}]: {values.shown(instance)}: expected an object with the keys {keys}")
        for name in instance:
            if name not in signature.inputs:
                raise _invalid(f"Unexpected tensor name: {name}")
    for name in signature.inputs:
        if not all(name in instance for instance in instances):
            raise _invalid(f"Input {name} was missing in at least one input instance.")
    return instances


def _column(name: str, info: TensorInfo, given: list[Any], first: int) -> np.ndarray:
    """The values of one input, one per instance, as an array (B, ...)."""
    if info.shape and info.shape[0] not in (None, len(given)):
        raise _invalid(f"{name}: {len(given)} instances: expected exactly {info.shape[0]}, the model's batch")
    sizes = (None,) * values.depth(given[0]) if info.shape is None else info.shape[1:]
    try:
        return values.array(info.dtype, given, sizes)
    except ValueError as error:
        for index, value in enumerate(given, first):
            if not values.fits(info.dtype, value, sizes):
                raise _invalid(values.explain(f"instances[{index}].{name}", info.dtype, value, sizes)) from error
        raise _invalid(f"{name}: lists of different lengths in the instances: expected the same for all") from error


def _batched(output: Any) -> np.ndarray:
    # NumPy's own type for bytes would drop the zero bytes at the end.
    batch = np.asarray(output, object) if isinstance(output, bytes | str) else np.asarray(output)
    return batch if batch.ndim else batch.reshape(1)


def _plain(alias: str, batch: np.ndarray) -> list[Any]:
    """An output as nested lists of what JSON has."""
    try:
        if batch.dtype.kind not in "OSU":
            return values.plain(batch)
        if alias.endswith("_bytes"):
            return [values.encode_base64(value) for value in batch.tolist()]
        return [values.text(value) for value in batch.tolist()]
    except UnicodeDecodeError as error:
        shown = f"{alias}: {error.object[:20]!r}"
        raise PredictionError(
            Code.OUTPUTS, f"{shown}: expected UTF-8 text; call the output {alias}_bytes to send it as base64"
        ) from error
    except ValueError as error:
        raise PredictionError(Code.OUTPUTS, f"{alias}: {error}") from error


def _invalid(detail: str) -> PredictionError:
    return PredictionError(Code.INPUTS, detail)
