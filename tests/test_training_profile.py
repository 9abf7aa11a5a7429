"""Where the time of a run is said to have gone."""

import glob
import io
import logging
import time

import pytest

from trainer.training import profile
from trainer.training.profile import Profile


def clock(*times):
    """A clock that says these times, one after the other, and then the last for ever."""
    left = list(times)
    return lambda: left.pop(0) if len(left) > 1 else left[0]


def test_a_part_within_another_is_taken_out_of_it_and_all_add_up_to_the_whole():
    measured = Profile(clock(0.0, 1.0, 3.0, 3.5, 7.0, 10.0), clock(0.0))
    with measured.part("export"), measured.part("evaluation"):  # from 1; from 3 to 3.5
        pass
    assert measured.seconds == {"evaluation": 0.5, "export": 2.0 + 3.5, "other": 1.0 + 3.0}  # until 10
    assert measured.times == {"export": 1, "evaluation": 1}


def test_a_part_that_fails_is_over():
    measured = Profile(clock(0.0, 1.0, 2.0, 5.0), clock(0.0))
    with pytest.raises(OSError, match="disk"), measured.part("checkpoint"):
        raise OSError("disk")
    assert measured.seconds == {"checkpoint": 1.0, "other": 4.0}


class Kept(logging.Handler):
    """The records that were logged."""

    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record)


@pytest.fixture
def said(monkeypatch):
    """What a profile with a part of three seconds out of four says, on a terminal or off it."""
    kept, before = Kept(), profile.log.level
    monkeypatch.setattr(profile.log, "handlers", [kept])
    monkeypatch.setattr(profile.log, "propagate", False)
    profile.log.setLevel(logging.INFO)

    def say(*, terminal):
        stdout = io.StringIO()
        stdout.isatty = lambda: terminal
        monkeypatch.setattr("sys.stdout", stdout)
        measured = Profile(clock(0.0, 1.0, 4.0), clock(10.0, 16.0))
        with measured.part("compute"):
            pass
        measured.say()
        return kept.records

    yield say
    profile.log.setLevel(before)


def test_off_a_terminal_it_is_a_line_of_json(said):
    (record,) = said(terminal=False)
    assert record.getMessage() == "profile"
    assert record.fields == {
        "seconds": {"compute": 3.0, "other": 1.0},
        "times": {"compute": 1},
        "elapsed": 4.0,
        "cores_busy": 1.5,
    }


def test_on_a_terminal_it_is_a_table(said):
    lines = [record.getMessage() for record in said(terminal=True)]
    assert lines == [
        "part          seconds   share    times    ms each",
        "compute          3.00   75.0%        1    3,000.0",
        "other            1.00   25.0%                    ",
        "all              4.00  with 1.50 cores busy",
    ]


def test_a_run_says_where_its_time_went_and_leaves_a_trace_of_its_steps(train, births, tmp_path):
    began = time.monotonic()
    flags = {"train_steps": 40, "eval_every": 10, "train_batch_size": 64, "export_strategy": "final"}
    lines = train("babyweight", data_dir=births, job_dir=tmp_path, profile=(), **flags)
    elapsed = time.monotonic() - began
    (said,) = (line for line in lines if line["message"] == "profile")
    assert lines.index(said) == len(lines) - 2  # before the last, which says where the run ended
    assert list(said["seconds"]) == list(profile.PARTS)
    assert said["elapsed"] == pytest.approx(sum(said["seconds"].values()), abs=0.01)
    assert said["elapsed"] <= elapsed
    counts = {"compile": 1, "metrics": 4, "checkpoint": 4, "evaluation": 4}
    assert {name: said["times"][name] for name in counts} == counts
    assert said["times"]["input"] == said["times"]["transfer"] == 1 + said["times"]["compute"]
    assert said["seconds"]["compile"] > said["seconds"]["transfer"]
    (trace,) = glob.glob(f"{tmp_path}/plugins/profile/*/*.xplane.pb")
    assert [line["trace"] for line in lines if "trace" in line] == [trace]
    with open(trace, "rb") as file:
        content = file.read()
    for part in (b"input", b"transfer", b"compute"):
        assert part in content
    assert b"checkpoint" not in content  # one call of the train function, and no more
    assert b"\x07compile" not in content  # not the first: a name has its length before it


def test_without_the_flag_nothing_is_said_and_nothing_traced(train, births, tmp_path):
    lines = train("babyweight", data_dir=births, job_dir=tmp_path, train_steps=4, train_batch_size=64, eval_every=1)
    assert "profile" not in [line["message"] for line in lines]
    assert not (tmp_path / "plugins").exists()
