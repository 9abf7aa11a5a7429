"""Cloud Logging: `logging.v2`'s `entries.list`."""

from typing import Any

from trainer.cloud.emulator.calls import Call, Method
from trainer.cloud.emulator.entries import Entries


def methods(entries: Entries) -> list[Method]:
    """What can be asked."""

    def find(call: Call) -> Any:
        return entries.page(call.body)

    return [Method("POST", "/v2/entries:list", find, "logging", "ListLogEntriesRequest")]
