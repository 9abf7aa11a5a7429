"""The folder that a platform registers the model from: always one whole export, whatever was there before."""

import json
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from trainer.errors import UsageError
from trainer.exporting import registration
from trainer.storage import commit, paths


ROOT = Path(__file__).parent.parent
FILES = ("saved_model.pb", "variables/variables.index", "assets.extra/evaluation.json")


def export(job_dir, content, *, files=FILES):
    """A committed export whose files say which it is."""
    folder = paths.join(job_dir, "export", "best", f"{len(paths.list_names(f'{job_dir}/export/best')):010d}")
    with commit.staged(folder) as made:
        for name in files:
            os.makedirs(os.path.dirname(f"{made}/{name}"), exist_ok=True)
            Path(made, name).write_text(f"{content} {name}")
    return folder


def content(folder):
    """What each file says, of a folder that is whole."""
    commit.verify(folder)
    names = paths.list_files(folder).keys() - {commit.MANIFEST, commit.MARKER}
    return {name: paths.read_bytes(paths.join(folder, name)).decode() for name in names}


def of(word, *, files=FILES):
    return {name: f"{word} {name}" for name in files}


def versions(folder):
    return {name: entry.version for name, entry in paths.list_files(folder).items()}


@pytest.fixture(params=["disk", "bucket"])
def job_dir(request, tmp_path):
    """A place on a disk, and one in a bucket."""
    return str(tmp_path / "job") if request.param == "disk" else f"{request.getfixturevalue('gcs')}/job"


def test_it_is_the_export_as_it_is_with_a_marker_of_its_own(job_dir):
    source = export(job_dir, "new")
    registration.ensure(f"{job_dir}/model", [source])
    assert content(f"{job_dir}/model") == content(source) == of("new")
    assert registration.is_copy(f"{job_dir}/model", source)


def test_a_copy_that_is_there_is_left_alone(job_dir, caplog):
    source = export(job_dir, "new")
    with caplog.at_level(logging.INFO, "trainer.exporting"):
        registration.ensure(f"{job_dir}/model", [source])
        before = versions(f"{job_dir}/model")
        registration.ensure(f"{job_dir}/model", [source])
    assert versions(f"{job_dir}/model") == before
    assert [record.message for record in caplog.records] == [f"copied {source} to {job_dir}/model"]


def test_another_export_is_replaced_and_nothing_of_it_stays(job_dir):
    registration.ensure(f"{job_dir}/model", [export(job_dir, "old", files=(*FILES, "assets/words.txt"))])
    newer = export(job_dir, "new")
    registration.ensure(f"{job_dir}/model", [newer])
    assert content(f"{job_dir}/model") == of("new")


def test_a_model_of_others_is_replaced_and_so_is_one_on_another_storage(gcs, tmp_path):
    paths.write_bytes(f"{tmp_path}/model/saved_model.pbtxt", b"theirs")
    registration.ensure(f"{tmp_path}/model", [export(f"{gcs}/job", "new")])
    assert content(f"{tmp_path}/model") == of("new")
    registration.ensure(f"{gcs}/model", [export(f"{tmp_path}/job", "newer")])
    assert content(f"{gcs}/model") == of("newer")


@pytest.mark.parametrize("left", ["some files", "no marker", "a damaged file", "a stranger", "a lost file"])
def test_what_is_not_whole_is_replaced(left, job_dir):
    source, model = export(job_dir, "new"), f"{job_dir}/model"
    if left == "some files":
        paths.write_bytes(f"{model}/variables/variables.index", b"new variables/variables.index")
    else:
        registration.ensure(model, [source])
    if left == "no marker":
        commit.retract(model)
    elif left == "a damaged file":
        paths.write_bytes(f"{model}/saved_model.pb", b"NEW saved_model.pb")
    elif left == "a stranger":
        paths.write_bytes(f"{model}/assets/words.txt", b"old words")
    elif left == "a lost file":
        paths.remove(f"{model}/variables/variables.index")
    registration.ensure(model, [source])
    assert content(model) == of("new")


def test_a_damaged_export_is_passed_over_for_the_next_and_the_last_is_an_error(job_dir, caplog):
    good, bad = export(job_dir, "good"), export(job_dir, "bad")
    paths.write_bytes(f"{bad}/saved_model.pb", b"BAD saved_model.pb")
    registration.ensure(f"{job_dir}/model", [bad, good])
    assert content(f"{job_dir}/model") == of("good")
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        f"not copied to {job_dir}/model: {bad}/saved_model.pb: checksum differs from the one in manifest.json"
    ]
    with pytest.raises(commit.DamagedError, match=f"^{bad}/saved_model.pb: checksum differs"):
        registration.ensure(f"{job_dir}/model", [bad])
    assert content(f"{job_dir}/model") == of("good")


def test_what_is_no_model_is_never_replaced(job_dir):
    source = export(job_dir, "new")
    paths.write_bytes(f"{job_dir}/model/notes.txt", b"mine")
    with pytest.raises(UsageError, match=f"^AIP_MODEL_DIR: {job_dir}/model: has notes.txt; expected a folder for the"):
        registration.ensure(f"{job_dir}/model", [source])
    assert list(paths.list_files(f"{job_dir}/model")) == ["notes.txt"]


def test_a_file_that_an_export_s_manifest_does_not_name_is_not_copied(job_dir):
    source = export(job_dir, "new")
    paths.write_bytes(f"{source}/assets/later.txt", b"later")
    registration.ensure(f"{job_dir}/model", [source])
    assert content(f"{job_dir}/model") == of("new")


KILLS = """
import json, os, shutil, sys
from trainer.exporting import registration
from trainer.storage import commit, entry, local, paths

ROOT = sys.argv[1]
os.fsync = lambda handle: None  # slow, and this is no power cut
WATCHED = {module.__file__ for module in (registration, commit, entry, local, paths, shutil)}
EXPORTS = {word: f"{ROOT}/export/best/{number}" for word, number in (("old", 1500000000), ("new", 1600000000))}

def prepare():
    shutil.rmtree(ROOT, ignore_errors=True)
    for word, folder in EXPORTS.items():
        with commit.staged(folder) as made:
            os.makedirs(f"{made}/variables")
            for name in ("saved_model.pb", "variables/variables.index"):
                with open(f"{made}/{name}", "w") as file:
                    file.write(f"{word} {name}")
    registration.ensure(f"{ROOT}/model", [EXPORTS["old"]])

def act():
    registration.ensure(f"{ROOT}/model", [EXPORTS["new"], EXPORTS["old"]])

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
    if not commit.is_committed(f"{ROOT}/model"):
        return "nothing"
    return next((word for word, folder in EXPORTS.items() if registration.is_copy(f"{ROOT}/model", folder)), "damaged")

line, code, outcomes = 0, 9, []
while code:
    prepare()
    child = os.fork()
    if not child:
        killed_at(line)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    first = seen()
    commit.remove_staging(ROOT)  # what the next run of the job does
    act()
    outcomes.append({"first": first, "then": seen(), "names": sorted(os.listdir(ROOT))})
    line += 1
print(json.dumps(outcomes))
"""


def test_killed_before_any_line_it_is_one_export_or_is_not_trusted_and_the_next_run_mends_it():
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        words = [sys.executable, "-c", KILLS, f"{folder}/job"]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    outcomes = json.loads(done.stdout)
    for line, outcome in enumerate(outcomes):
        assert outcome["first"] in ("old", "nothing", "new"), line
        assert (outcome["then"], outcome["names"]) == ("new", ["export", "model"]), line
    assert {outcome["first"] for outcome in outcomes} == {"old", "nothing", "new"}
