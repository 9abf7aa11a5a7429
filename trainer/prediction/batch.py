"""The predictions of whole files, part by part, so that a file may be larger than memory.

plan = batch.plan(model, signature_name=None, batch_size=16384)
for text in batch.encoded(batch.of_csv(model, plan, [Part("eval.csv", "eval.csv")]), "json"):
    file.write(text)
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from trainer.errors import RunError
from trainer.prediction import lines, rows
from trainer.prediction.parts import Part
from trainer.prediction.rows import Plan
from trainer.prediction.table import Table
from trainer.serving import model as serving
from trainer.serving import protocol
from trainer.serving.model import Model


@dataclass(frozen=True)
class Predictions:
    """Some predictions: {alias: (B, ...)}, and the keys (B,) of the rows that they are for, where these have any."""

    outputs: Mapping[str, np.ndarray]
    keys: pa.Array | None = None

    def __len__(self) -> int:
        return max(len(np.atleast_1d(output)) for output in self.outputs.values())

    @property
    def names(self) -> list[str]:
        """Of the columns of `as_csv`."""
        return [*([] if self.keys is None else [lines.KEY]), *self.outputs]

    def as_json(self) -> bytes:
        """A JSON object a line."""
        return lines.as_json(self.outputs, self.keys)

    def as_csv(self) -> bytes:
        """A row of a CSV file each."""
        return lines.as_csv(self.outputs, self.keys)

    def as_dicts(self) -> list[dict[str, Any]]:
        """The objects that `as_json` writes."""
        predictions = protocol.rows(self.outputs)
        if self.keys is None:
            return predictions
        return [{lines.KEY: key, **each} for key, each in zip(self.keys.to_pylist(), predictions, strict=True)]


def of_instances(model: Model, parts: Iterable[list[Any]], signature_name: str | None) -> Iterator[Predictions]:
    """One prediction per instance, in order."""
    signature = protocol.choose(model.signatures, signature_name)
    first = 0
    for part in parts:
        yield Predictions(serving.call(model, signature, protocol.columns(signature, part, first=first)))
        first += len(part)


def plan(model: Model, *, signature_name: str | None, batch_size: int) -> Plan:
    """How CSV files are read for a signature of the model."""
    return rows.plan(protocol.choose(model.signatures, signature_name), model.schema, batch_size)


def of_csv(model: Model, plan: Plan, parts: Sequence[Part]) -> Iterator[Predictions]:
    """One prediction per row, in order, with the key of the row unless the signature returns it.

    Raises `RunError` at the end where there was no row.
    """
    empty = True
    for part in parts:
        for predictions in of_part(model, plan, part):
            yield predictions
            empty = False
    if empty:
        raise RunError(f"{', '.join(part.name for part in parts)}: no rows; expected at least one")


def of_part(model: Model, plan: Plan, part: Part) -> Iterator[Predictions]:
    """As `of_csv` for a part alone, which may have no row."""
    for block in rows.read(part, plan, rows.layout(part, plan)):
        yield Predictions(serving.call(model, plan.signature, block.columns), block.keys)


def encoded(predictions: Iterable[Predictions], form: str) -> Iterator[bytes]:
    """Predictions as text: json, csv under a header, or a table. `RunError` for CSV whose columns change."""
    table, names = Table(), list[str]()
    for each in predictions:
        if form == "json":
            yield each.as_json()
        elif form == "table":
            yield "".join(line + "\n" for line in table.lines(each.as_dicts())).encode()
        else:
            if not names:
                names = each.names
                yield lines.csv_header(names)
            if each.names != names:
                raise RunError(f"--format csv: the columns {', '.join(names)} are followed by {', '.join(each.names)}")
            yield each.as_csv()


def header(plan: Plan, part: Part) -> bytes:
    """The first line of a CSV file with the predictions of a part, which may have none."""
    key = [lines.KEY] if rows.layout(part, plan).key else []
    return lines.csv_header([*key, *plan.signature.outputs])
