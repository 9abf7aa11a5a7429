"""Which sets are whole, on a disk and in a bucket, and what may be removed."""

import logging
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trainer.errors import RunError
from trainer.storage import commit, fsck, paths


ROOT = Path(__file__).parent.parent
HOURS = 3600.0


@pytest.fixture(params=["disk", "bucket"])
def job(request, tmp_path):
    """A job dir without anything in it, on a disk and in a bucket."""
    if request.param == "disk":
        (tmp_path / "job").mkdir()
        return f"{tmp_path}/job"
    return f"{request.getfixturevalue('gcs')}/job"


@pytest.fixture
def passing(monkeypatch):
    """Let two hours pass, by the clock that dates the files."""

    def pass_hours(job):
        if paths.is_remote(job):
            now_at = fsck.now_at
            monkeypatch.setattr(fsck, "now_at", lambda path: now_at(path) + 2 * HOURS)
        else:
            for name in paths.list_files(job):
                os.utime(f"{job}/{name}", (time.time() - 2 * HOURS,) * 2)

    return pass_hours


@pytest.fixture(autouse=True)
def _log_as_before():
    log = logging.getLogger("trainer")
    before = log.handlers, log.level, log.propagate
    yield
    log.handlers, log.level, log.propagate = before


def committed(folder, *names):
    with commit.staged(folder) as local:
        for name in names or ("variables/data", "state.json"):
            paths.write_bytes(f"{local}/{name}", name.encode())
    return folder


def put(folder, *names):
    for name in names:
        paths.write_bytes(f"{folder}/{name}", name.encode())


def damaged(folder, name="state.json", content=b"other text"):
    committed(folder)
    paths.write_bytes(f"{folder}/{name}", content)


def states(directory):
    return {each.folder.removeprefix(f"{directory}/"): each.state for each in fsck.sets(directory)}


def run(capsys, *words):
    """The exit code, and the lines on stdout."""
    code = fsck.main(list(words))
    return code, capsys.readouterr().out.splitlines()


def there(job):
    return list(paths.list_files(job))


def test_a_set_is_what_its_files_say(job):
    committed(f"{job}/checkpoints/10")
    put(f"{job}/checkpoints/20", "variables", "manifest.json")
    damaged(f"{job}/checkpoints/30")
    put(f"{job}/checkpoints/40", "variables/data")
    committed(f"{job}/export/best/1500000000")
    put(f"{job}/export/best/1500000001", "saved_model.pb")
    committed(f"{job}/elsewhere/model")
    put(f"{job}/checkpoints/.tmp-0123456789abcdef", "variables")
    assert states(job) == {
        "checkpoints/.tmp-0123456789abcdef": "uncommitted",
        "checkpoints/10": "committed",
        "checkpoints/20": "uncommitted",
        "checkpoints/30": "damaged",
        "checkpoints/40": "uncommitted",
        "elsewhere/model": "committed",
        "export/best/1500000000": "committed",
        "export/best/1500000001": "uncommitted",
    }


@pytest.mark.parametrize("name", ["state.json", "variables/data"])
@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"more than it was", "16 bytes, expected "), (None, "no such file or directory"), (b"", "0 bytes, expected ")],
)
def test_a_damaged_set_is_named_with_its_first_problem(job, name, content, problem):
    folder = committed(f"{job}/checkpoints/10")
    if content is None:
        paths.remove(f"{folder}/{name}")
    else:
        paths.write_bytes(f"{folder}/{name}", content)
    (found,) = fsck.sets(job)
    assert (found.state, found.folder) == ("damaged", folder)
    assert found.problem.startswith(f"{name}: {problem}")


def test_content_of_the_same_size_that_is_another_is_damage(job):
    damaged(f"{job}/checkpoints/10", content=b"STATE.JSON")
    (found,) = fsck.sets(job)
    assert (found.state, found.problem) == ("damaged", "state.json: checksum differs from the one in manifest.json")


@pytest.mark.parametrize("change", ["manifest.json", "COMMITTED"])
def test_a_manifest_that_the_marker_is_not_of_is_damage(job, change):
    folder = committed(f"{job}/checkpoints/10")
    paths.write_bytes(f"{folder}/{change}", paths.read_bytes(f"{folder}/{change}").replace(b"0", b"1") + b"1")
    (found,) = fsck.sets(job)
    assert (found.state, found.problem) == ("damaged", "manifest.json: checksum differs from the one in COMMITTED")


def test_a_marker_without_a_manifest_is_damage(job):
    folder = committed(f"{job}/checkpoints/10")
    paths.remove(f"{folder}/manifest.json")
    (found,) = fsck.sets(job)
    assert (found.state, found.problem.split(":")[0]) == ("damaged", "manifest.json")


def test_a_set_counts_its_files_and_bytes_and_is_as_old_as_its_newest_file(job, passing):
    folder = committed(f"{job}/checkpoints/10", "a", "bc")
    passing(job)
    (found,) = fsck.sets(job)
    size = sum(len(paths.read_bytes(f"{folder}/{name}")) for name in paths.list_files(folder))
    assert (found.files, found.size) == (4, size)
    assert found.age_s == pytest.approx(2 * HOURS, abs=60)


FOREIGN = (
    "2024/photo.jpg", "2024/05/photo.jpg", "checkpoint/10/x", "backup/10/x", "export/10/x", "exports/best/1500000000/x",
    "export/best/150000000/x", "export/best/deep/1500000000/x", "run.json", "checkpoints/readme.txt",
    "checkpoints/10a/x", "export/best/readme.txt", "tmp-1/x", ".tmp-probe",
)  # fmt: skip


def test_what_is_not_ours_is_no_set_and_is_never_removed(job, passing, capsys):
    put(job, *FOREIGN)
    put(f"{job}/checkpoints/10", "variables")
    passing(job)
    assert states(job) == {"checkpoints/10": "uncommitted"}
    code, lines = run(capsys, job, "--repair")
    assert code == 0
    assert [line for line in lines if line.startswith("removed")] == [f"removed {job}/checkpoints/10"]
    assert there(job) == sorted(FOREIGN)


def test_a_bucket_of_years_is_left_alone(gcs, passing, capsys):
    names = ("2023/a.jpg", "2024/a.jpg", "2024/12/a.jpg", "1500000000/a.jpg")
    put(gcs, *names)
    passing(gcs)
    assert run(capsys, gcs, "--repair") == (0, ["no checkpoints or exports"])
    assert run(capsys, f"{gcs}/2024", "--repair") == (0, ["no checkpoints or exports"])
    assert there(gcs) == sorted(names)


def test_repair_removes_what_no_marker_covers_and_nothing_else(job, passing, capsys):
    committed(f"{job}/checkpoints/10")
    put(f"{job}/checkpoints/10", "stray", "deep/stray")
    put(f"{job}/checkpoints/20", "variables/data", "manifest.json")
    damaged(f"{job}/checkpoints/30")
    put(f"{job}/checkpoints/.tmp-0123456789abcdef", "variables")
    committed(f"{job}/export/best/1500000000")
    before = there(job)
    passing(job)
    code, lines = run(capsys, job, "--repair")
    assert code == 1  # there is a damaged one, which stays
    gone = [
        "checkpoints/.tmp-0123456789abcdef", "checkpoints/10/deep/stray", "checkpoints/10/stray", "checkpoints/20",
    ]  # fmt: skip
    assert [line for line in lines if line.startswith("removed")] == [f"removed {job}/{name}" for name in gone]
    assert there(job) == [name for name in before if not name.startswith(tuple(gone))]
    assert states(job) == {
        "checkpoints/10": "committed", "checkpoints/30": "damaged", "export/best/1500000000": "committed",
    }  # fmt: skip


def test_repair_leaves_what_somebody_may_be_writing(job, capsys):
    committed(f"{job}/checkpoints/10")
    put(f"{job}/checkpoints/10", "stray")
    put(f"{job}/checkpoints/20", "variables")
    before = there(job)
    code, lines = run(capsys, job, "--repair")
    assert code == 0
    assert not [line for line in lines if line.startswith("removed")]
    assert there(job) == before


def test_one_new_file_keeps_a_set_from_repair(tmp_path, capsys):
    put(f"{tmp_path}/checkpoints/20", "old", "new")
    os.utime(tmp_path / "checkpoints/20/old", (0, 0))
    run(capsys, str(tmp_path), "--repair")
    assert there(str(tmp_path)) == ["checkpoints/20/new", "checkpoints/20/old"]


def test_without_repair_nothing_is_removed(job, passing, capsys):
    put(f"{job}/checkpoints/20", "variables")
    passing(job)
    assert run(capsys, job)[0] == 0
    assert there(job) == ["checkpoints/20/variables"]


def test_the_exit_code_says_whether_something_is_damaged(job, capsys):
    committed(f"{job}/checkpoints/10")
    put(f"{job}/checkpoints/20", "variables")
    assert run(capsys, job)[0] == 0
    damaged(f"{job}/checkpoints/30")
    assert run(capsys, job)[0] == 1


@pytest.mark.parametrize("end", ["", "/"])
def test_a_set_itself_may_be_looked_at(job, capsys, end):
    folder = committed(f"{job}/checkpoints/10")
    code, lines = run(capsys, f"{folder}{end}")
    assert code == 0
    assert re.fullmatch(rf"committed +4 +\d+ +\d+ s  {re.escape(folder)}/?", lines[1])
    put(f"{job}/checkpoints/20", "variables")
    assert [each.state for each in fsck.sets(f"{job}/checkpoints/20{end}")] == ["uncommitted"]


def test_a_set_within_a_set_is_part_of_it(job):
    put(f"{job}/checkpoints/20", "checkpoints/10/COMMITTED", "x")
    assert states(job) == {"checkpoints/20": "uncommitted"}


def test_the_table_has_a_line_a_set(job, passing, capsys):
    committed(f"{job}/checkpoints/10", "a")
    put(f"{job}/checkpoints/10", "stray")
    damaged(f"{job}/checkpoints/30")
    put(f"{job}/checkpoints/20", "v" * 60)
    paths.write_bytes(f"{job}/checkpoints/20/large", b"x" * 1234)
    passing(job)
    code, lines = run(capsys, job)
    assert code == 1
    assert [line.split(maxsplit=5) for line in lines] == [
        ["STATE", "FILES", "BYTES", "AGE", "FOLDER"],
        ["committed", "4", lines[1].split()[2], "2", "h", f"{job}/checkpoints/10  (1 files not in its manifest)"],
        ["uncommitted", "2", "1,294", "2", "h", f"{job}/checkpoints/20"],
        ["damaged", "4", lines[3].split()[2], "2", "h",
         f"{job}/checkpoints/30  (state.json: checksum differs from the one in manifest.json)"],
    ]  # fmt: skip
    assert {line.index(job) for line in lines[1:]} == {lines[0].index("FOLDER")}


def test_there_may_be_nothing_to_say(job, capsys):
    put(job, "run.json")
    assert run(capsys, job) == (0, ["no checkpoints or exports"])


def test_a_path_that_is_not_there_is_one_line(job):
    put(job, "run.json")
    for path in (f"{job}/nowhere", f"{job}/run.json"):
        with pytest.raises(RunError) as error:
            fsck.main([path])
        assert str(error.value) == f"{path}: no such folder; expected a job dir, a folder of sets or a set"


def test_it_is_a_command(gcs):
    damaged(f"{gcs}/job/checkpoints/10")

    def command(path):
        words = [sys.executable, "-m", "trainer.storage.fsck", path]
        return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)

    found = command(f"{gcs}/job")
    assert (found.returncode, found.stderr) == (1, "")
    assert found.stdout.splitlines()[1].startswith("damaged ")
    missing = command(f"{gcs}/nowhere")
    line = f"{gcs}/nowhere: no such folder; expected a job dir, a folder of sets or a set"
    assert (missing.returncode, missing.stderr) == (1, f"trainer.storage.fsck: error: {line}\n")
