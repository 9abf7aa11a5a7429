"""Predictions as the bytes of lines: JSON objects, or the rows of a CSV file.

    file.write(lines.as_json({"outputs": np.array([7.5, 6.25])}, pa.array(["k1", "k2"])))
    # {"key": "k1", "outputs": 7.5}
    # {"key": "k2", "outputs": 6.25}

The text is that of `json.dumps` for each of `protocol.rows`, made by columns, which is many times faster. What is rare
(text to escape, numbers with an exponent, base64) goes through `protocol` itself.
"""

import json
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from pyarrow import compute

from trainer.serving import protocol, values
from trainer.serving.protocol import Code, PredictionError


KEY = "key"
TEXT = pa.large_string()  # a column of long vectors may take more than 2 GB
ESCAPED = r"[^ !#-\[\]-~]"  # by json.dumps
QUOTED = '[",\r\n]'  # in CSV
PLAIN_FLOATS = (1e-4, 1e9)  # between these, Arrow writes a number that is not whole as Python does


def as_json(outputs: Mapping[str, np.ndarray], keys: pa.Array | None) -> bytes:
    """A JSON object a line: {alias: (B, ...)} and the keys (B,), which come first."""
    columns = {KEY: _quoted(keys.cast(TEXT))} if keys is not None else {}
    columns |= {alias: _json(alias, batch) for alias, batch in _batches(outputs, keys).items()}
    pieces = [piece for alias, texts in columns.items() for piece in (_text(f", {json.dumps(alias)}: "), texts)]
    pieces[0] = _text("{" + pieces[0].as_py()[2:])
    return _joined([*pieces, _text("}\n")])


def as_csv(outputs: Mapping[str, np.ndarray], keys: pa.Array | None) -> bytes:
    """A line of cells without spaces between: the key, then the outputs in their order.

    Text is bare or in quotes, base64 is text, a number that is not finite is NaN or Infinity, a vector is JSON.
    """
    columns = [_enclosed(keys.cast(TEXT))] if keys is not None else []
    columns += [_cells(alias, batch) for alias, batch in _batches(outputs, keys).items()]
    pieces = [piece for texts in columns for piece in (_text(","), texts)]
    return _joined([*pieces[1:], _text("\n")])


def csv_header(names: list[str]) -> bytes:
    """The line of names that a CSV file begins with."""
    return (",".join(_enclosed(pa.array(names, TEXT)).to_pylist()) + "\n").encode()


def _batches(outputs: Mapping[str, np.ndarray], keys: pa.Array | None) -> dict[str, np.ndarray]:
    """The outputs, proven to have as many rows as there are keys. Raises `PredictionError`."""
    batches = {alias: np.atleast_1d(np.asarray(output)) for alias, output in outputs.items()}
    sizes = set(map(len, batches.values()))
    if len(sizes) != 1:
        protocol.rows(outputs)  # raises
    if keys is not None and sizes != {len(keys)}:
        raise PredictionError(Code.OUTPUTS, f"{max(sizes)} predictions for {len(keys)} rows; expected one each")
    return batches


def _json(alias: str, batch: np.ndarray) -> pa.Array:
    """An output as JSON: (B, ...) -> (B,)."""
    texts = _scalars(alias, batch.reshape(-1))
    if texts is None:
        return pa.array([json.dumps(row[alias]) for row in protocol.rows({alias: batch})], TEXT)
    for depth in range(batch.ndim - 1, 0, -1):  # lists of lists, from the inside out
        lists = int(np.prod(batch.shape[:depth]))
        offsets = np.arange(lists + 1) * batch.shape[depth]
        inner = compute.binary_join(pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), texts), _text(", "))
        texts = compute.binary_join_element_wise(_text("["), inner, _text("]"), _text(""))
    return texts


def _cells(alias: str, batch: np.ndarray) -> pa.Array:
    """An output as cells: (B, ...) -> (B,)."""
    if batch.ndim > 1:
        return _enclosed(_json(alias, batch))
    if batch.dtype.kind not in "OSU":  # the only quotes are those around NaN
        return compute.replace_substring(_json(alias, batch), '"', "")
    rows = (row[alias] for row in protocol.rows({alias: batch}))
    return _enclosed(pa.array([value["b64"] if isinstance(value, dict) else value for value in rows], TEXT))


def _scalars(alias: str, flat: np.ndarray) -> pa.Array | None:
    """Single values as JSON (N,), or None where that takes `protocol`."""
    if "float" in flat.dtype.name:
        return _floats(flat.astype(np.float64))
    if flat.dtype.kind in "biu":
        return pa.array(flat).cast(TEXT)
    if alias.endswith("_bytes") or flat.dtype.kind != "O":
        return None
    try:
        return _quoted(pa.array(flat, pa.large_binary()).cast(TEXT))
    except pa.ArrowException:  # not UTF-8
        return None


def _floats(numbers: np.ndarray) -> pa.Array:
    sizes = np.abs(numbers)
    with np.errstate(invalid="ignore"):
        plain = (sizes >= PLAIN_FLOATS[0]) & (sizes < PLAIN_FLOATS[1]) & (numbers != np.trunc(numbers))
    texts = pa.array(numbers).cast(TEXT)
    if plain.all():
        return texts
    others = [json.dumps(value) for value in values.plain(numbers[~plain])]
    return compute.replace_with_mask(texts, pa.array(~plain), pa.array(others, TEXT))


def _quoted(texts: pa.Array) -> pa.Array:
    """Texts as JSON strings."""
    if not _is_plain(texts):
        special = compute.match_substring_regex(texts, ESCAPED)
        escaped = [json.dumps(text)[1:-1] for text in texts.filter(special).to_pylist()]
        texts = compute.replace_with_mask(texts, special, pa.array(escaped, TEXT))
    return compute.binary_join_element_wise(_text('"'), texts, _text('"'), _text(""))


def _is_plain(texts: pa.Array) -> bool:
    """Whether JSON has nothing to escape; looks at the bytes of all texts at once."""
    offsets = np.frombuffer(texts.buffers()[1], np.int64)[texts.offset : texts.offset + len(texts) + 1]
    data = np.frombuffer(texts.buffers()[2] or b"", np.uint8)[offsets[0] : offsets[-1]]
    return not data.size or bool(
        data.min() >= ord(" ") and data.max() <= ord("~") and not ((data == ord('"')) | (data == ord("\\"))).any()
    )


def _enclosed(texts: pa.Array) -> pa.Array:
    """Texts as CSV cells: in quotes where they need them."""
    special = compute.match_substring_regex(texts, QUOTED)
    if not special.true_count:
        return texts
    doubled = compute.replace_substring(texts.filter(special), '"', '""')
    inside = compute.binary_join_element_wise(_text('"'), doubled, _text('"'), _text(""))
    return compute.replace_with_mask(texts, special, inside)


def _joined(pieces: list[pa.Array | pa.Scalar]) -> bytes:
    """The texts of all rows, one after the other."""
    texts = compute.binary_join_element_wise(*pieces, _text(""))
    offsets = np.frombuffer(texts.buffers()[1], np.int64)
    return bytes(texts.buffers()[2].slice(0, offsets[len(texts)]).to_pybytes())


def _text(text: str) -> pa.Scalar:
    return pa.scalar(text, TEXT)
