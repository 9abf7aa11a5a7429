"""The log of a job: in order, each entry once, to its end."""

import pytest

from tests.scripted import answering
from trainer.cloud import logs
from trainer.cloud.logs import Entry, Log, entry_of, follow_entries, last_errors


def entry(second, id, *, severity="INFO", task="master-replica-0"):
    return Entry(f"2026-11-26T10:00:{second:012.9f}Z", id, severity, task, id, {})


def followed(looks, *, over_after):
    """The ids that are shown, when each look finds what `looks` has; the job is over at a look."""
    count, sinces = [0], []

    def read(since):
        sinces.append(since)
        found = looks[min(count[0], len(looks) - 1)] if count[0] < len(looks) else []
        return sorted(each for each in found if not since or each.timestamp >= since)

    def pause():
        count[0] += 1
        assert count[0] < 50, "it does not end"

    shown = [each.id for each in follow_entries(read, lambda: count[0] >= over_after, pause)]
    return shown, sinces


def test_entries_come_in_order_and_once():
    a, b, c = entry(1, "a"), entry(2, "b"), entry(3, "c")
    shown, _ = followed([[a], [a, b], [a, b, c], [a, b, c]], over_after=2)
    assert shown == ["a", "b", "c"]


def test_one_that_comes_late_is_shown_before_those_after_it():
    a, b, late, d = entry(1, "a"), entry(3, "b"), entry(2, "late"), entry(4, "d")
    shown, _ = followed([[a, b], [a, b, late, d], [a, b, late, d]], over_after=1)
    assert shown == ["a", "late", "b", "d"]


def test_two_of_one_moment_are_both_shown():
    a, b, c = entry(1, "a"), entry(1, "b"), entry(1, "c")
    shown, _ = followed([[a, b], [a, b, c], [a, b, c]], over_after=1)
    assert sorted(shown) == ["a", "b", "c"]


def test_what_was_there_at_the_end_is_shown():
    """The last entries may be found only a look after the job is over."""
    a, b, c = entry(1, "a"), entry(2, "b"), entry(3, "c")
    shown, _ = followed([[a], [a, b], [a, b, c], [a, b, c]], over_after=0)
    assert shown == ["a", "b", "c"]


def test_a_job_that_is_quiet_for_long_is_followed_on():
    a, b = entry(1, "a"), entry(9, "b")
    shown, _ = followed([[a], [a], [a], [a], [a], [a, b], [a, b]], over_after=5)
    assert shown == ["a", "b"]


def test_the_last_entries_may_come_a_look_late():
    a, b = entry(1, "a"), entry(2, "b")
    shown, _ = followed([[a], [a], [a, b], [a, b]], over_after=0)
    assert shown == ["a", "b"]


def test_a_look_reads_a_little_of_what_was_before():
    a, b = entry(1, "a"), entry(30, "b")
    _, sinces = followed([[a], [a, b], [a, b]], over_after=2)
    assert sinces[0] == ""
    assert "2026-11-26T09:59:51.000000000Z" in sinces
    assert sinces[-1] == "2026-11-26T10:00:20.000000000Z"


def test_an_entry_of_json_has_its_fields_and_one_of_text_its_text():
    resource = {"type": "ml_job", "labels": {"task_name": "worker-replica-1"}}
    payload = {"message": "stop", "global_step": 3}
    raw = {"timestamp": "2026-11-26T10:00:01.5Z", "insertId": "x", "severity": "INFO", "resource": resource}
    found = entry_of({**raw, "jsonPayload": payload, "labels": {"ml.googleapis.com/trial_id": "3"}})
    assert (found.task, found.message, found.fields, found.trial) == (
        "worker-replica-1",
        "stop",
        {"global_step": 3},
        "3",
    )
    assert found.timestamp == "2026-11-26T10:00:01.500000000Z"
    assert entry_of({**raw, "textPayload": "hello"}).message == "hello"
    assert entry_of({"timestamp": "2026-11-26T10:00:01Z"}).severity == "DEFAULT"


def test_pages_are_read_to_the_last():
    def answer(request):
        page = int(request.body.get("pageToken", 0))
        found = {"entries": [{"timestamp": f"2026-11-26T10:00:0{3 - page}Z", "insertId": str(page)}]}
        return 200, found | ({"nextPageToken": str(page + 1)} if page < 2 else {})

    with answering(answer) as server:
        found = Log(endpoint=server.url, project="p", job_id="j").read("2026-11-26T10:00:00Z", least="ERROR")
        body = server.requests[0].body
    assert [each.id for each in found] == ["2", "1", "0"]
    assert body["resourceNames"] == ["projects/p"]
    assert body["filter"].splitlines() == [
        'resource.type="ml_job"',
        'resource.labels.job_id="j"',
        'timestamp>="2026-11-26T10:00:00Z"',
        "severity>=ERROR",
    ]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("The replica worker 1 exited with a non-zero status of 1.", ["of worker"]),
        ("The replica workerpool1-1 exited with a non-zero status of 1.", ["of pool"]),
        ("Internal error.", ["of master", "of worker", "of pool"]),
    ],
)
def test_the_last_errors_are_those_of_the_replica_that_failed(error, expected):
    entries = [
        entry(1, "of master", severity="ERROR"),
        entry(2, "of worker", severity="CRITICAL", task="worker-replica-1"),
        entry(3, "of pool", severity="ERROR", task="workerpool1-1"),
        entry(4, "of another", task="worker-replica-1"),
        entry(5, "of the service", severity="ERROR", task="service"),
    ]
    assert [each.id for each in last_errors(entries, error)] == expected


def test_severities_are_cloud_loggings():
    assert [name for name in logs.SEVERITIES if entry(1, "a", severity=name).is_error] == [
        *("ERROR", "CRITICAL", "ALERT", "EMERGENCY")
    ]
