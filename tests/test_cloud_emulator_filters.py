"""The filters of lists: what they let through, and what is no filter."""

import pytest

from trainer.cloud.emulator import filters, times
from trainer.cloud.emulator.errors import ServiceError
from trainer.cloud.emulator.filters import Comparison


ENTRY = {
    "severity": "WARNING",
    "timestamp": "2026-11-26T10:50:26.123456789Z",
    "resource": {"type": "ml_job", "labels": {"job_id": "births_1", "task_name": "master-replica-0"}},
    "labels": {"ml.googleapis.com/trial_id": "3"},
    "textPayload": 'say "yes"',
}
JOB = {"displayName": "births", "state": "JOB_STATE_FAILED", "labels": {"side": "left"}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ('resource.type="ml_job"', True),
        ("resource.type=ml_job", True),
        ('resource.type="ml_jo"', False),
        ('resource.type="ml_job" AND resource.labels.job_id="births_1"', True),
        ('resource.type="ml_job"\nresource.labels.job_id="births_2"', False),
        ('resource.type = "ml_job"   resource.labels.job_id != "births_2"', True),
        ('labels."ml.googleapis.com/trial_id"="3"', True),
        ('labels."ml.googleapis.com/trial_id"="4"', False),
        ('labels."ml.googleapis.com/trial_id":*', True),
        ("labels.other:*", False),
        ("severity>=WARNING", True),
        ("severity>=ERROR", False),
        ("severity<ERROR AND severity>INFO", True),
        ("severity=warning", True),
        ('timestamp>="2026-11-26T10:50:26.123456789Z"', True),
        ('timestamp>"2026-11-26T10:50:26.123456789Z"', False),
        ('timestamp>"2026-11-26T10:50:26.123456788Z"', True),
        ('timestamp<"2026-11-26T11:50:27+01:00"', True),
        (r'textPayload="say \"yes\""', True),
        ("textPayload:YES", True),
        ("textPayload:no", False),
        ('nothing="x"', False),
        ('nothing!="x"', True),
    ],
)
def test_an_entry_is_let_through_when_all_comparisons_hold(text, expected):
    assert filters.holds(filters.parse(text), ENTRY) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('displayName="births"', True),
        ('display_name="births" AND labels.side="left"', True),
        ('display_name="births" AND labels.side="right"', False),
        ("displayName:bir*", True),
        ('displayName="b*s"', True),
        ("displayName:irths", True),
        ("state=JOB_STATE_FAILED", True),
    ],
)
def test_a_resource_is_let_through_by_either_form_of_a_name(text, expected):
    assert filters.holds(filters.parse(text), JOB) is expected


@pytest.mark.parametrize(
    "text",
    [
        'a="b" OR c="d"',
        'NOT a="b"',
        '-a="b"',
        '(a="b")',
        "a",
        'a="b',
        '"free text"',
        "severity>=LOUD",
        'timestamp>"yesterday"',
        'a="b" AND',
        'a="b" AND AND c="d"',
    ],
)
def test_what_is_no_filter_or_is_not_understood_is_refused(text):
    with pytest.raises(ServiceError) as found:
        filters.holds(filters.parse(text), ENTRY)
    assert found.value.status == "INVALID_ARGUMENT"


def test_the_value_that_a_field_must_have_is_found():
    comparisons = filters.parse('resource.labels.job_id="a" AND severity>=ERROR')
    assert filters.equal_to(comparisons, "resource", "labels", "job_id") == "a"
    assert filters.equal_to(comparisons, "severity") is None
    assert comparisons[0] == Comparison(("resource", "labels", "job_id"), "=", "a")


@pytest.mark.parametrize(
    ("written", "nanoseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:01.5Z", 1_500_000_000),
        ("1970-01-01T01:00:00.000000001+01:00", 1),
        ("2026-11-26T10:50:26.123456789Z", 1_795_690_226_123_456_789),
    ],
)
def test_times_are_read_to_the_nanosecond(written, nanoseconds):
    assert times.nanoseconds(written) == nanoseconds
    assert times.nanoseconds(times.text(nanoseconds)) == nanoseconds
