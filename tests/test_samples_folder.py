"""The sample data of an experiment: made where they are wanted first, once."""

from pathlib import Path

import pytest

from trainer.errors import UsageError
from trainer.samples import folder


def test_sample_data_is_made_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert folder.made("babyweight") == "data/babyweight"
    made = {path: path.stat().st_mtime_ns for path in Path("data/babyweight").iterdir()}
    folder.made("babyweight")
    assert made == {path: path.stat().st_mtime_ns for path in Path("data/babyweight").iterdir()}


def test_an_experiment_of_the_users_own_has_none():
    with pytest.raises(UsageError, match="--train-files: not given, and the experiment has no sample data"):
        folder.made("acme.iris")
