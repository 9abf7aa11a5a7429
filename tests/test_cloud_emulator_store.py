"""Resources on disk, and lists of them in pages."""

import json
import threading

import pytest

from trainer.cloud.emulator import lists, pages
from trainer.cloud.emulator.calls import Call
from trainer.cloud.emulator.errors import ServiceError
from trainer.cloud.emulator.store import Store


NAME = "projects/p/jobs/births_1"


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path))


def status(call):
    with pytest.raises(ServiceError) as found:
        call()
    return found.value.status


def test_a_resource_is_there_after_a_restart(store, tmp_path):
    store.create(NAME, {"state": "QUEUED"})
    store.change(NAME, state="RUNNING", startTime="now")
    again = Store(str(tmp_path))
    assert again.get(NAME) == {"state": "RUNNING", "startTime": "now"}
    again.delete(NAME)
    assert Store(str(tmp_path)).names("projects/p/jobs") == []


def test_a_name_is_taken_once(store):
    store.create(NAME, {})
    assert status(lambda: store.create(NAME, {})) == "ALREADY_EXISTS"
    assert status(lambda: store.get("projects/p/jobs/other")) == "NOT_FOUND"
    assert status(lambda: store.delete("projects/p/jobs/other")) == "NOT_FOUND"


def test_what_is_returned_is_a_copy(store):
    given = {"labels": {"a": "b"}}
    store.create(NAME, given)["labels"]["a"] = "c"
    given["labels"]["a"] = "d"
    store.get(NAME)["labels"]["a"] = "e"
    assert store.get(NAME) == {"labels": {"a": "b"}}


def test_a_change_that_is_refused_changes_nothing(store, tmp_path):
    store.create(NAME, {"state": "SUCCEEDED"})

    def refused(resource):
        resource["state"] = "CANCELLING"
        raise ServiceError("FAILED_PRECONDITION", "no")

    assert status(lambda: store.update(NAME, refused)) == "FAILED_PRECONDITION"
    assert store.get(NAME) == Store(str(tmp_path)).get(NAME) == {"state": "SUCCEEDED"}


def test_changes_of_many_threads_are_all_kept(store):
    store.create(NAME, {"count": 0})

    def count():
        for _ in range(20):
            store.update(NAME, lambda resource: {"count": resource["count"] + 1})

    threads = [threading.Thread(target=count) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.get(NAME) == {"count": 100}


def test_collections_hold_what_is_right_below_them(store):
    names = ["projects/p/models/a", "projects/p/models/a/versions/v1", "projects/q/models/b", "projects/p/jobs/models"]
    for name in names:
        store.create(name, {})
    assert store.names("projects/p/models") == [names[0]]
    assert store.names("projects/p/models/a/versions") == [names[1]]
    assert sorted(store.names("projects/*/models")) == [names[0], names[2]]
    assert store.names("projects/*/versions") == [names[1]]


def test_no_page_skips_or_repeats_what_comes_and_goes_between(store):
    for number in range(6):
        store.create(f"projects/p/jobs/j{number}", {"jobId": f"j{number}", "createTime": f"2026-01-0{number}"})

    def page(token=""):
        query = {"pageSize": "2", "pageToken": token}
        answer = lists.newest_first(store, Call("/v1/projects/p/jobs", {}, query, {}), "jobs")
        return [job["jobId"] for job in answer.get("jobs", [])], answer.get("nextPageToken")

    first, token = page()
    store.create("projects/p/jobs/j9", {"jobId": "j9", "createTime": "2026-01-09"})
    store.delete("projects/p/jobs/j4")
    second, token = page(token)
    third, last = page(token)
    assert (first, second, third, last) == (["j5", "j4"], ["j3", "j2"], ["j1", "j0"], None)


@pytest.mark.parametrize("token", ["x", "bm90IGpzb24=", "WzFd", "e30=", "[]"])
def test_a_page_token_of_another_is_refused(token):
    assert status(lambda: pages.cut([["a"]], key=lambda item: item, size=1, token=token)) == "INVALID_ARGUMENT"


@pytest.mark.parametrize(("given", "size"), [(None, 50), ("", 50), (0, 50), ("7", 7), (7, 7), (5000, 1000)])
def test_a_page_has_its_size(given, size):
    assert pages.size_of(given, default=50, most=1000) == size


@pytest.mark.parametrize("given", [-1, "-1", "many"])
def test_what_is_no_size_is_refused(given):
    assert status(lambda: pages.size_of(given, default=50, most=1000)) == "INVALID_ARGUMENT"


def test_a_resource_is_a_file_of_json(store, tmp_path):
    store.create(NAME, {"jobId": "births_1"})
    assert json.loads((tmp_path / f"{NAME}.json").read_text()) == {"jobId": "births_1"}
