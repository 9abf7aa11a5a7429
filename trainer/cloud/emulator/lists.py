"""The answer to a list of resources: those of a collection that a filter lets through, the newest first, in pages.

return lists.newest_first(store, call, "jobs")
"""

from collections.abc import Callable
from typing import Any

from trainer.cloud.emulator import filters, pages
from trainer.cloud.emulator.calls import Call
from trainer.cloud.emulator.store import Resource, Store


def as_kept(name: str, resource: Resource) -> Resource:
    """A resource as it is in the store."""
    del name
    return resource


def newest_first(
    store: Store, call: Call, kind: str, *, shown: Callable[[str, Resource], Resource] = as_kept
) -> dict[str, Any]:
    """`{"jobs": [...], "nextPageToken": ...}`, without what is empty, as Google leaves it out.

    `shown` makes what is filtered and listed of what is in the store.
    """
    wanted = filters.parse(call.query.get("filter", ""))
    found = [
        (resource.get("createTime", ""), name, resource)
        for name in store.names(call.name)
        if filters.holds(wanted, resource := shown(name, store.get(name)))
    ]
    page, token = pages.cut(
        found,
        key=lambda item: (item[0], item[1]),
        size=pages.size_of(call.query.get("pageSize"), default=100, most=1000),
        token=call.query.get("pageToken", ""),
        descending=True,
    )
    resources = [resource for _, _, resource in page]
    return {**({kind: resources} if resources else {}), **({"nextPageToken": token} if token else {})}
