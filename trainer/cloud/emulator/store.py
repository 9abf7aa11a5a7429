"""The resources of the services on disk, each a JSON file of its own, replaced whole.

    store = Store(f"{state}/resources")
    store.create("projects/p/jobs/births_1", {"jobId": "births_1", "state": "QUEUED"})
    store.change("projects/p/jobs/births_1", state="RUNNING")

A resource that is returned is a copy.
"""

import copy
import json
import threading
from collections.abc import Callable
from typing import Any

from trainer.cloud.emulator.errors import ServiceError, not_found
from trainer.storage import paths


Resource = dict[str, Any]
JSON = ".json"


class Store:
    """Resources by their names, of any thread."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._lock = threading.RLock()
        paths.make_directory(folder)
        names = [path for path in paths.list_files(folder) if path.endswith(JSON)]
        self._resources: dict[str, Resource] = {
            name.removesuffix(JSON): json.loads(paths.read_bytes(paths.join(folder, name))) for name in names
        }

    def create(self, name: str, resource: Resource) -> Resource:
        """Keep a new resource. Raises `ServiceError` when the name is taken."""
        with self._lock:
            if name in self._resources:
                raise ServiceError("ALREADY_EXISTS", f"Field: {paths.name(paths.parent(name))} Error: {name} exists.")
            return self._put(name, resource)

    def get(self, name: str) -> Resource:
        """A resource. Raises `ServiceError` when there is none."""
        with self._lock:
            if name not in self._resources:
                raise not_found(name)
            return copy.deepcopy(self._resources[name])

    def has(self, name: str) -> bool:
        """Whether there is such a resource."""
        with self._lock:
            return name in self._resources

    def change(self, name: str, **fields: Any) -> Resource:
        """Set fields; those that are None are removed."""
        return self.update(name, lambda resource: resource | fields)

    def update(self, name: str, changed: Callable[[Resource], Resource]) -> Resource:
        """Replace a resource by what comes of it, with no other change between."""
        with self._lock:
            found = changed(self.get(name))
            return self._put(name, {key: value for key, value in found.items() if value is not None})

    def delete(self, name: str) -> None:
        """Forget a resource. Raises `ServiceError` when there is none."""
        with self._lock:
            self.get(name)
            paths.remove(paths.join(self._folder, name + JSON))
            del self._resources[name]

    def names(self, collection: str) -> list[str]:
        """The names of the resources right below `projects/p/jobs`, say, or below all of `*/jobs`."""
        project, _, kind = collection.partition("/*/")
        with self._lock:
            return [
                name
                for name in self._resources
                if (paths.parent(name) == collection)
                or (kind and name.startswith(f"{project}/") and paths.name(paths.parent(name)) == kind)
            ]

    def below(self, collection: str) -> list[Resource]:
        """The resources right below a collection."""
        with self._lock:
            return [self.get(name) for name in self.names(collection)]

    def _put(self, name: str, resource: Resource) -> Resource:
        paths.write_bytes(paths.join(self._folder, name + JSON), json.dumps(resource, indent=2).encode())
        self._resources[name] = copy.deepcopy(resource)
        return copy.deepcopy(resource)
