"""Long-running operations: work on a thread, and a resource that says how it goes.

    return operations.begin("projects/p/operations/create_births_v1", metadata, work)

`work` returns the response, or raises `ServiceError`.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from trainer.cloud.emulator.calls import Call, Method
from trainer.cloud.emulator.errors import ServiceError
from trainer.cloud.emulator.store import Resource, Store
from trainer.errors import RunError


KIND = "operations"
PARENTS = (
    "/v1/projects/{project}",
    "/v1/projects/{project}/locations/{location}",
    "/v1/projects/{project}/locations/{location}/{kind}/{parent}",
)
INTERRUPTED = "The emulator was ended before this operation was done."
log = logging.getLogger("trainer.cloud.emulator")


class Operations:
    """The operations of one emulator."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def begin(self, name: str, metadata: Mapping[str, Any], work: Callable[[], Mapping[str, Any]]) -> Resource:
        """Start to work; the operation is not done yet when this returns."""
        operation = self._store.create(name, {"name": name, "metadata": dict(metadata)})
        threading.Thread(target=self._run, args=(name, work), name=name, daemon=True).start()
        return operation

    def done(self, name: str, metadata: Mapping[str, Any], response: Mapping[str, Any]) -> Resource:
        """An operation that was done at once."""
        fields = {"name": name, "metadata": dict(metadata), "done": True, "response": dict(response)}
        return self._store.create(name, fields)

    def recover(self) -> None:
        """End what was not done when the emulator was ended."""
        for name in self._store.names(f"projects/*/{KIND}"):
            if not self._store.get(name).get("done"):
                self._store.change(name, done=True, error=ServiceError("UNAVAILABLE", INTERRUPTED).rpc())

    def methods(self) -> list[Method]:
        """What can be asked."""

        def get(call: Call) -> Any:
            return self._store.get(call.name)

        return [Method("GET", f"{parent}/{KIND}/{{operation}}", get) for parent in PARENTS]

    def _run(self, name: str, work: Callable[[], Mapping[str, Any]]) -> None:
        try:
            outcome: dict[str, Any] = {"response": dict(work())}
        except ServiceError as error:
            outcome = {"error": error.rpc()}
        except RunError as error:
            outcome = {"error": ServiceError("UNAVAILABLE", str(error)).rpc()}
        except Exception as error:
            log.exception("%s", name)
            outcome = {"error": ServiceError("INTERNAL", f"Internal error encountered: {error}").rpc()}
        self._store.change(name, done=True, **outcome)
