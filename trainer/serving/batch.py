"""The predictions of whole files, part by part, so that a file may be larger than memory.

for predictions in batch.of_csv(model, ["eval.csv"], signature_name=None, batch_size=1024): ...
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from trainer.errors import RunError
from trainer.serving import model as serving
from trainer.serving import protocol, requests, rows
from trainer.serving.model import Model


def of_instances(model: Model, parts: Iterable[list[Any]], signature_name: str | None) -> Iterator[list[Any]]:
    """One prediction per instance, in order."""
    first = 0
    for part in parts:
        yield serving.predict(model, part, signature_name, first=first)
        first += len(part)


def of_csv(
    model: Model, files: Sequence[str], *, signature_name: str | None, batch_size: int
) -> Iterator[list[dict[str, Any]]]:
    """One prediction per row, in order, with the key of the row unless the signature returns it."""
    signature = protocol.choose(model.signatures, signature_name)
    plan = rows.plan(signature, model.schema, batch_size)
    returns_key = bool({plan.key, rows.KEY} & signature.outputs.keys())
    empty = True
    for path in files:
        with requests.open_seekable(path) as file:
            for block in rows.read(file, requests.shown_name(path), plan):
                predictions = protocol.rows(serving.call(model, signature, block.columns))
                yield predictions if block.keys is None or returns_key else _with_keys(predictions, block.keys)
                empty = False
    if empty:
        raise RunError(f"{', '.join(files)}: no rows; expected at least one")


def _with_keys(predictions: list[dict[str, Any]], keys: list[str]) -> list[dict[str, Any]]:
    if len(predictions) != len(keys):
        raise protocol.PredictionError(
            protocol.Code.OUTPUTS, f"{len(predictions)} predictions for {len(keys)} rows; expected one each"
        )
    return [{rows.KEY: key, **prediction} for key, prediction in zip(keys, predictions, strict=True)]
