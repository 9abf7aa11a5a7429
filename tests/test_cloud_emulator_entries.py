"""The log of jobs on disk."""

import pytest

from trainer.cloud.emulator.entries import Entries
from trainer.cloud.emulator.errors import ServiceError


def listed(entries, wanted="", project="p", **request):
    return entries.page({"resourceNames": [f"projects/{project}"], "filter": wanted, **request}).get("entries", [])


def texts(found):
    return [entry.get("textPayload") or entry["jsonPayload"]["message"] for entry in found]


def test_entries_are_of_their_project_job_and_trial(tmp_path):
    entries = Entries(str(tmp_path))
    entries.write("p", "a", task="master-replica-0", stream="stdout", line="one")
    entries.write("p", "b", task="master-replica-0", stream="stdout", line="two", trial="3")
    entries.write("q", "a", task="master-replica-0", stream="stdout", line="three")
    entries.note("p", "a", "four", severity="ERROR")
    assert texts(listed(entries)) == ["one", "two", "four"]
    assert texts(listed(entries, 'resource.labels.job_id="a"')) == ["one", "four"]
    assert texts(listed(entries, 'labels."ml.googleapis.com/trial_id"="3"')) == ["two"]
    assert texts(listed(entries, "resource.labels.task_name=service")) == ["four"]
    assert texts(listed(entries, project="q")) == ["three"]
    assert listed(entries, project="r") == []
    assert listed(entries, 'resource.labels.job_id="../q/a"') == []


def test_half_an_entry_of_one_that_was_killed_does_not_hurt_the_next(tmp_path):
    Entries(str(tmp_path)).note("p", "a", "one")
    (path,) = tmp_path.glob("p/*")
    with path.open("ab") as file:
        file.write(b'{"textPayload": "hal')
    again = Entries(str(tmp_path))
    again.note("p", "a", "two")
    assert texts(listed(again)) == ["one", "two"]


def test_ids_are_unique_and_times_rise_over_restarts(tmp_path):
    for _ in range(2):
        entries = Entries(str(tmp_path))
        for number in range(50):
            entries.note("p", "a", str(number))
    found = listed(entries, pageSize=1000)
    assert len({entry["insertId"] for entry in found}) == 100
    times = [entry["timestamp"] for entry in found]
    assert times == sorted(set(times))


@pytest.mark.parametrize(
    ("line", "severity", "payload"),
    [
        ('{"message": "a", "severity": "DEBUG", "x": 1}', "DEBUG", {"jsonPayload": {"message": "a", "x": 1}}),
        ('{"message": "a", "severity": 3}', "ERROR", {"jsonPayload": {"message": "a"}}),
        ('{"message": "a"}', "ERROR", {"jsonPayload": {"message": "a"}}),
        ("[1]", "ERROR", {"textPayload": "[1]"}),
        ("{", "ERROR", {"textPayload": "{"}),
        ("", "ERROR", {"textPayload": ""}),
    ],
)
def test_a_line_of_stderr_is_an_error_unless_it_says_otherwise(tmp_path, line, severity, payload):
    entries = Entries(str(tmp_path))
    entries.write("p", "a", task="worker-replica-1", stream="stderr", line=line)
    (entry,) = listed(entries)
    assert entry["severity"] == severity
    assert {name: value for name, value in entry.items() if name.endswith("Payload")} == payload


@pytest.mark.parametrize("request_", [{}, {"resourceNames": ["projects/p"], "orderBy": "severity"}])
def test_a_request_for_nothing_or_in_another_order_is_refused(tmp_path, request_):
    with pytest.raises(ServiceError):
        Entries(str(tmp_path)).page(request_)
