"""Predictions as gcloud's plain table: the sorted keys in capitals, then a line each.

table = Table()
for part in predictions: print("\\n".join(table.lines(part)))
"""

import json
from collections.abc import Sequence
from typing import Any


GAP = "  "


class Table:
    """A table that is written part by part: it keeps the heading and the widths of what it has written.

    A later part with longer values gets wider columns, so that no part has to wait for the whole.
    """

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.widths: list[int] = []

    def lines(self, predictions: Sequence[Any]) -> list[str]:
        """The lines of the next predictions, at first with a heading; predictions that are no dicts have none."""
        if not all(isinstance(prediction, dict) for prediction in predictions):
            return [_cell(prediction) for prediction in predictions]
        cells = []
        if not self.keys:
            self.keys = sorted({key for prediction in predictions for key in prediction})
            self.widths = [0] * len(self.keys)
            cells.append([key.upper() for key in self.keys])
        cells += [[_cell(prediction.get(key, "")) for key in self.keys] for prediction in predictions]
        self.widths = [max(column) for column in zip(self.widths, *(map(len, row) for row in cells), strict=True)]
        return [
            GAP.join(cell.ljust(width) for cell, width in zip(row, self.widths, strict=True)).rstrip() for row in cells
        ]


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
