"""A folder that is there whole or not at all.

The processes that are killed here run `KILLS`, below: a child of it leaves with `os._exit` before one line of the
storage modules, for each line in turn, and what it left is read afterwards.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import google_crc32c
import pytest

from trainer.errors import RunError
from trainer.storage import commit, entry, paths


ROOT = Path(__file__).parent.parent


def write(destination, content="new"):
    with commit.staged(str(destination)) as folder:
        os.makedirs(f"{folder}/deep")
        for name in ("a.txt", "deep/b.txt"):
            Path(folder, name).write_text(f"{content} {name}")


def names(folder):
    return sorted(os.listdir(folder))


def test_a_folder_is_there_only_after_a_clean_exit(tmp_path):
    with commit.staged(str(tmp_path / "7")) as folder:
        Path(folder, "file").write_text("x")
        assert not paths.exists(str(tmp_path / "7"))
        assert commit.committed(str(tmp_path)) == []
    assert commit.committed(str(tmp_path)) == [str(tmp_path / "7")]
    assert names(tmp_path / "7") == ["COMMITTED", "file", "manifest.json"]
    assert names(tmp_path) == ["7"]


def test_the_manifest_has_size_and_crc32c_of_every_file_and_the_marker_that_of_the_manifest(tmp_path):
    write(tmp_path / "7")
    manifest = (tmp_path / "7" / "manifest.json").read_bytes()
    content = (tmp_path / "7" / "deep" / "b.txt").read_bytes()
    files = json.loads(manifest)["files"]
    assert sorted(files) == ["a.txt", "deep/b.txt"]
    assert files["deep/b.txt"] == {"size": len(content), "crc32c": f"{google_crc32c.value(content):08x}"}
    assert (tmp_path / "7" / "COMMITTED").read_text() == f"{google_crc32c.value(manifest):08x}\n"


def test_a_large_file_is_read_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(entry, "CHUNK_BYTES", 3)
    write(tmp_path / "7", "a longer text")
    monkeypatch.undo()
    commit.verify(str(tmp_path / "7"))


def test_a_failure_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), commit.staged(str(tmp_path / "7")) as folder:
        Path(folder, "file").write_bytes(b"x") / 0
    assert names(tmp_path) == []


def test_what_is_committed_is_never_written_again(tmp_path):
    write(tmp_path / "7", "old")
    with pytest.raises(RunError, match=f"^{tmp_path}/7: is committed already; is another run writing to this folder"):
        write(tmp_path / "7", "new")
    commit.verify(str(tmp_path / "7"))
    assert (tmp_path / "7" / "a.txt").read_text() == "old a.txt"
    assert names(tmp_path) == ["7"]


@pytest.mark.parametrize("left", ["retracted", "empty", "foreign"])
def test_what_nobody_trusts_is_replaced(left, tmp_path):
    if left == "retracted":
        write(tmp_path / "7", "old")
        commit.retract(str(tmp_path / "7"))
    else:
        (tmp_path / "7").mkdir()
        if left == "foreign":
            (tmp_path / "7" / "model.ckpt").write_text("x")
    write(tmp_path / "7", "new")
    commit.verify(str(tmp_path / "7"))
    assert names(tmp_path / "7") == ["COMMITTED", "a.txt", "deep", "manifest.json"]


def test_committed_folders_come_in_the_order_of_their_numbers(tmp_path):
    for name in ("10", "9", "1500000000", "latest", "5x", "-3"):
        write(tmp_path / name)
    (tmp_path / "11").mkdir()
    (tmp_path / "12").write_text("a file")
    assert commit.committed(str(tmp_path)) == [str(tmp_path / name) for name in ("9", "10", "1500000000")]
    assert commit.committed(str(tmp_path / "nowhere")) == []


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def flip(path):
    path.write_bytes(path.read_bytes()[:-1] + b"!")


@pytest.mark.parametrize(
    ("name", "damage", "said"),
    [
        ("a.txt", cut, "a.txt: 8 bytes, expected 9"),
        ("a.txt", flip, "a.txt: checksum differs from the one in manifest.json"),
        ("deep/b.txt", Path.unlink, "deep/b.txt: no such file or directory"),
        ("manifest.json", flip, "manifest.json: checksum differs from the one in COMMITTED"),
        ("manifest.json", Path.unlink, "manifest.json: no such file or directory"),
        ("COMMITTED", flip, "manifest.json: checksum differs from the one in COMMITTED"),
        ("COMMITTED", lambda path: path.write_bytes(b""), "manifest.json: checksum differs"),
        ("COMMITTED", lambda path: path.write_bytes(b"\xff\x00"), "manifest.json: checksum differs"),
    ],
)
def test_damage_is_found_and_names_the_file(name, damage, said, tmp_path):
    write(tmp_path / "7")
    commit.verify(str(tmp_path / "7"))
    damage(tmp_path / "7" / name)
    with pytest.raises(commit.DamagedError) as error:
        commit.verify(str(tmp_path / "7"))
    assert str(error.value).startswith(f"{tmp_path}/7/{said}")


def test_a_retracted_folder_is_not_trusted_and_its_files_stay(tmp_path):
    write(tmp_path / "7")
    commit.retract(str(tmp_path / "7"))
    assert commit.committed(str(tmp_path)) == []
    assert names(tmp_path / "7") == ["a.txt", "deep", "manifest.json"]


def test_all_but_the_greatest_numbers_are_pruned(tmp_path):
    for name in ("10", "9", "8", "latest"):
        write(tmp_path / name)
    (tmp_path / "7").mkdir()  # not committed, so not ours to remove
    commit.prune(str(tmp_path), 2)
    assert names(tmp_path) == ["10", "7", "9", "latest"]
    commit.prune(str(tmp_path), 2)
    assert names(tmp_path) == ["10", "7", "9", "latest"]


def test_a_folder_on_a_disk_is_opened_where_it_is(tmp_path):
    write(tmp_path / "7")
    with commit.opened(str(tmp_path / "7")) as folder:
        assert folder == str(tmp_path / "7")
    commit.verify(folder)


def test_what_is_staged_is_complete_before_its_way_to_the_destination_is_submitted(tmp_path):
    jobs = []
    with commit.staged(str(tmp_path / "7"), jobs.append) as folder:
        Path(folder, "file").write_text("x")
    assert commit.committed(str(tmp_path)) == []
    (job,) = jobs
    job()
    commit.verify(str(tmp_path / "7"))
    assert names(tmp_path) == ["7"]


def test_files_that_are_removed_before_their_job_is_done_are_not_committed_as_an_empty_folder(tmp_path):
    jobs = []
    with commit.staged(f"{tmp_path}/7", jobs.append) as folder:
        (Path(folder) / "file").write_text("content")
    shutil.rmtree(folder)
    with pytest.raises(RunError, match=r"/7: cannot be written: no such file or directory"):
        jobs[0]()
    assert commit.committed(str(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path):
    write(tmp_path / "7")
    (tmp_path / ".tmp-1").mkdir()
    (tmp_path / ".tmp-1" / "file").write_text("x")
    (tmp_path / ".tmp-2").write_text("x")
    (tmp_path / ".other").write_text("x")
    commit.remove_staging(str(tmp_path))
    assert names(tmp_path) == [".other", "7"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        OSError("{{node}} .tmp-0/x.tempstate1; No space left on device [Op:SaveV2]"),
    ],
)
def test_a_full_disk_is_one_line_that_names_the_destination(error, tmp_path):
    with pytest.raises(RunError) as raised, commit.staged(str(tmp_path / "7")):
        raise error
    assert str(raised.value) == f"{tmp_path}/7: cannot be written: no space left on device"


def test_a_file_of_its_own_that_cannot_be_written_is_said_as_the_destination(tmp_path):
    with pytest.raises(RunError) as raised, commit.staged(str(tmp_path / "7")) as folder:
        paths.write_bytes(folder, b"")
    assert str(raised.value) == f"{tmp_path}/7: cannot be written: is a directory"


def test_another_file_that_cannot_be_read_keeps_its_own_name(tmp_path):
    with pytest.raises(RunError) as raised, commit.staged(str(tmp_path / "7")):
        paths.read_bytes(f"{tmp_path}/words.txt")
    assert str(raised.value) == f"{tmp_path}/words.txt: no such file or directory"


KILLS = """
import json, os, shutil, sys
from trainer.storage import commit, entry, local, paths

ROOT, SCENARIO = sys.argv[1:]
os.fsync = lambda handle: None  # slow, and this is no power cut
WATCHED = {module.__file__ for module in (commit, entry, local, paths, shutil)}

def write(step, content):
    with commit.staged(f"{ROOT}/{step}") as folder:
        os.makedirs(f"{folder}/deep")
        for name in ("a.txt", "deep/b.txt"):
            with open(f"{folder}/{name}", "w") as file:
                file.write(f"{content} {name}")

def prepare():
    shutil.rmtree(ROOT, ignore_errors=True)
    os.makedirs(ROOT)
    write(5, "old")
    if SCENARIO in ("again", "uncommitted", "remove"):
        write(7, "old")
    if SCENARIO == "remove":  # written last, it is what a file system in memory lists, and so removes, first
        shutil.copy(f"{ROOT}/7/a.txt", f"{ROOT}/copy")
        os.replace(f"{ROOT}/copy", f"{ROOT}/7/a.txt")
    if SCENARIO == "uncommitted":
        commit.retract(f"{ROOT}/7")
    paths.write_bytes(f"{ROOT}/run.json", b"old")

def act():
    if SCENARIO == "file":
        paths.write_bytes(f"{ROOT}/run.json", b"new")
    elif SCENARIO == "remove":
        commit.remove(f"{ROOT}/7")
    else:
        try:
            write(7, "new")
        except commit.RunError:
            pass

def killed_at(line):
    left = line
    def trace(frame, event, argument):
        nonlocal left
        if frame.f_code.co_filename not in WATCHED:
            return None
        if event == "line":
            left -= 1
            if left < 0:
                os._exit(9)
        return trace
    sys.settrace(trace)
    act()
    os._exit(0)

def seen():
    found = {}
    for folder in commit.committed(ROOT):
        commit.verify(folder)
        found[paths.name(folder)] = paths.read_bytes(f"{folder}/a.txt").decode().split()[0]
    return found

line, code, outcomes = 0, 9, []
while code:
    prepare()
    child = os.fork()
    if not child:
        killed_at(line)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    first = seen()
    commit.remove_staging(ROOT)  # what the next process does, and then it writes the same
    file = paths.read_bytes(f"{ROOT}/run.json").decode()
    act()
    outcomes.append({"first": first, "file": file, "then": seen(), "names": sorted(os.listdir(ROOT))})
    line += 1
print(json.dumps(outcomes))
"""


@pytest.fixture
def memory(tmp_path):
    """A folder in memory, where there is such a thing: a kill at each line makes thousands of files."""
    if not os.access("/dev/shm", os.W_OK):
        yield str(tmp_path)
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield folder


@pytest.mark.parametrize(
    ("scenario", "allowed", "last"),
    [
        ("new", [{"5": "old"}, {"5": "old", "7": "new"}], {"5": "old", "7": "new"}),
        ("uncommitted", [{"5": "old"}, {"5": "old", "7": "new"}], {"5": "old", "7": "new"}),
        ("again", [{"5": "old", "7": "old"}], {"5": "old", "7": "old"}),
        ("remove", [{"5": "old"}, {"5": "old", "7": "old"}], {"5": "old"}),
        ("file", [{"5": "old"}], {"5": "old"}),
    ],
)
def test_a_process_may_be_killed_before_any_line(scenario, allowed, last, memory):
    words = [sys.executable, "-c", KILLS, f"{memory}/job", scenario]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    outcomes = json.loads(done.stdout)
    for line, outcome in enumerate(outcomes):
        assert outcome["first"] in allowed, line
        assert outcome["file"] in ("old", "new"), line
        assert outcome["then"] == last, line
        assert outcome["names"] == [*sorted(last), "run.json"], line
    assert all(any(outcome["first"] == state for outcome in outcomes) for state in allowed)
