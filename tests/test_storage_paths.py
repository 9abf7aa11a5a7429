"""Read, write, list and remove by path."""

import os
import stat
import threading

import pytest

from trainer.errors import MissingError, RunError, UsageError
from trainer.storage import commit, entry, local, paths


OTHER_URLS = ("gs:", "gs:/bucket/x", "s3:", "s3://bucket/x", "file:///x", "GS://bucket/x")
NO_BUCKETS = ("gs://", "gs:///x", "gs://b/x", "gs://Bucket/x", "gs://-bucket/x/")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def put(*names):
    for name in names:
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        with open(name, "w") as file:
            file.write(name)


def temporary(folder="."):
    return [name for name in os.listdir(folder) if name.startswith(local.TEMPORARY)]


@pytest.mark.parametrize(
    ("parts", "joined"),
    [
        (("a", "b", "c"), "a/b/c"),
        (("a/", "b"), "a/b"),
        (("/", "b"), "/b"),
        (("", "b"), "b"),
        ((".", "b"), "./b"),
        (("gs://b", "x"), "gs://b/x"),
        (("gs://b/x/", "y"), "gs://b/x/y"),
    ],
)
def test_joining_keeps_the_slashes_of_a_url(parts, joined):
    assert paths.join(*parts) == joined


@pytest.mark.parametrize(
    ("path", "parent", "name"),
    [
        ("a/b", "a", "b"),
        ("a/b/", "a", "b"),
        ("/a", "/", "a"),
        ("a", ".", "a"),
        ("/", "/", ""),
        ("gs://b/x", "gs://b", "x"),
        ("gs://b/x/y/", "gs://b/x", "y"),
        ("gs://b", "gs://b", "b"),
    ],
)
def test_a_path_has_a_parent_and_a_name(path, parent, name):
    assert (paths.parent(path), paths.name(path)) == (parent, name)


@pytest.mark.parametrize(
    ("patterns", "files"),
    [
        (["*.csv"], ["a.csv", "b.csv"]),
        (["b.csv", "*.csv"], ["b.csv", "a.csv"]),
        (["a.csv", "a.csv", "./a.csv"], ["a.csv"]),
        (["*"], ["a.csv", "b.csv", "c[1].csv.gz"]),  # neither the folder nor what is hidden
        (["[ab].csv"], ["a.csv", "b.csv"]),
        (["c[1].csv.gz"], ["c[1].csv.gz"]),
        (["folder*", "folder/*"], None),
        (["**/*.csv"], ["a.csv", "b.csv", "folder/deep/d.csv"]),
        (["folder/deep/*"], ["folder/deep/d.csv"]),
    ],
)
def test_globs_are_files_each_once_in_order(patterns, files):
    put("b.csv", "a.csv", "c[1].csv.gz", ".hidden.csv", ".tmp-1.csv", ".tmp-2/e.csv", "folder/deep/d.csv")
    if files is None:
        with pytest.raises(UsageError, match=r"^folder\*: no such file; expected a path or a glob that matches at"):
            paths.expand(patterns)
    else:
        assert paths.expand(patterns) == files


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        ("nowhere.csv", "nowhere.csv: no such file; expected a path or a glob that matches at least one file"),
        ("nowhere/*", "nowhere/*: no such file; expected a path or a glob that matches at least one file"),
        ("", "'': no such file; expected a path or a glob that matches at least one file"),
        ("folder", "folder: is a folder; expected files, such as folder/*.csv"),
    ],
)
def test_a_glob_of_nothing_is_bad_usage(pattern, line):
    put("a.csv")
    os.mkdir("folder")
    with pytest.raises(UsageError) as error:
        paths.expand(["a.csv", pattern])
    assert str(error.value) == line


def staged(path):
    with commit.staged(path):
        pass


def opened(path):
    with commit.opened(path):
        pass


def written(path):
    with paths.open_output(path):
        pass


CALLS = {
    "expand": lambda path: paths.expand([path]),
    "write_bytes": lambda path: paths.write_bytes(path, b""),
    "open_output": written,
    "staged": staged,
    "opened": opened,
    "is_committed": commit.is_committed,
    "committed": commit.committed,
    "verify": commit.verify,
    "retract": commit.retract,
    "commit.remove": commit.remove,
    "prune": lambda path: commit.prune(path, 1),
    "remove_staging": commit.remove_staging,
    **{
        name: getattr(paths, name)
        for name in (
            "is_remote", "matches", "exists", "is_directory", "stat", "checksum", "list_names", "list_files",
            "open_input", "read_bytes", "make_directory", "remove", "sync",
        )
    },
}  # fmt: skip


def test_every_function_that_touches_files_is_tried_on_urls():
    words = {"join", "name", "parent", "at_once", "DamagedError"}  # touch none
    for module in (paths, commit):
        ours = {name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__}
        assert {name for name in ours if not name.startswith("_")} <= {*words, *CALLS}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("path", OTHER_URLS)
def test_a_url_of_another_kind_is_refused_in_one_line_and_nothing_is_made(call, path):
    with pytest.raises(UsageError) as error:
        CALLS[call](path)
    assert str(error.value).startswith(path.split("/")[0])
    assert str(error.value).endswith(": is neither a local path nor gs://BUCKET/PATH")
    assert os.listdir() == []


@pytest.mark.parametrize("call", sorted(CALLS.keys() - {"sync"}))  # of a bucket there is nothing to sync
@pytest.mark.parametrize("path", NO_BUCKETS)
def test_a_url_that_names_no_bucket_is_refused_in_one_line_and_nothing_is_made(call, path):
    with pytest.raises(RunError) as error:
        CALLS[call](path)
    assert str(error.value).startswith(path.rstrip("/"))
    assert str(error.value).endswith("gs://BUCKET/PATH")
    assert os.listdir() == []


@pytest.mark.parametrize("call", [paths.is_remote, paths.exists, paths.stat, paths.matches, paths.open_input])
@pytest.mark.parametrize("path", NO_BUCKETS)
def test_what_is_not_the_name_of_a_bucket_is_said(call, path):
    with pytest.raises(RunError) as error:
        call(path)
    bucket = path.removeprefix("gs://").split("/")[0]
    assert str(error.value) == f"{path}: {bucket!r} is not the name of a bucket; expected gs://BUCKET/PATH"


def test_a_url_of_a_bucket_is_not_on_this_machine_and_everything_else_is():
    assert paths.is_remote("gs://bucket/x")
    assert not any(map(paths.is_remote, ("", "x", "/gs/x", "12:30/x", "c:/x", "./gs://bucket/x")))


def test_a_folder_may_have_a_colon_in_its_name():
    paths.write_bytes("12:30/a:b", b"x")
    assert paths.read_bytes("12:30/a:b") == b"x"


def test_what_is_written_is_read_and_replaces_what_was_there():
    paths.write_bytes("folder/file", b"old and longer")
    paths.write_bytes("folder/file", b"new")
    assert paths.read_bytes("folder/file") == b"new"
    assert (paths.stat("folder/file").size, paths.list_names("folder")) == (3, ["file"])


def test_a_reader_sees_the_old_content_or_the_new_and_never_a_part():
    contents = [letter * 200_000 for letter in (b"a", b"b")]
    paths.write_bytes("file", contents[0])
    seen, done = [], threading.Event()

    def read():
        while not done.is_set():
            seen.append(paths.read_bytes("file"))

    reader = threading.Thread(target=read)
    reader.start()
    for i in range(50):
        paths.write_bytes("file", contents[i % 2])
    done.set()
    reader.join()
    assert seen
    assert set(seen) <= set(contents)


def test_a_write_that_fails_leaves_the_old_content_and_nothing_else():
    paths.write_bytes("file", b"old")
    with pytest.raises(ZeroDivisionError), paths.open_output("file") as file:
        file.write(b"new" * 1_000_000 + bytes(1 // 0))
    assert paths.read_bytes("file") == b"old"
    assert os.listdir() == ["file"]


def test_a_file_is_on_the_disk_before_it_has_its_name(monkeypatch):
    calls = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, name=name, real=real: (calls.append(name), real(*a)))
    paths.write_bytes("file", b"x")
    assert calls == ["fsync", "replace", "fsync"]  # the file, its name, the folder


@pytest.mark.parametrize(
    ("umask", "file_mode", "folder_mode"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700), (0o002, 0o664, 0o775)]
)
def test_the_rights_are_those_that_the_umask_leaves(umask, file_mode, folder_mode):
    before = os.umask(umask)
    try:
        paths.write_bytes("file", b"x")
        with commit.staged("folder/1"):
            pass
    finally:
        assert os.umask(before) == umask
    assert stat.S_IMODE(os.stat("file").st_mode) == file_mode
    assert stat.S_IMODE(os.stat("folder/1").st_mode) == folder_mode
    assert stat.S_IMODE(os.stat("folder/1/COMMITTED").st_mode) == file_mode


def test_writing_to_a_link_keeps_the_link():
    put("elsewhere/file")
    os.symlink("elsewhere/file", "link")
    paths.write_bytes("link", b"new")
    assert os.path.islink("link")
    assert paths.read_bytes("elsewhere/file") == b"new"


def test_a_pipe_is_written_to_and_not_replaced():
    os.mkfifo("pipe")
    read = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        paths.write_bytes("pipe", b"text")
        assert os.read(read, 10) == b"text"
    finally:
        os.close(read)
    assert stat.S_ISFIFO(os.stat("pipe").st_mode)


def test_a_file_is_known_by_its_size_its_version_and_its_time_without_reading_it():
    paths.write_bytes("file", b"123456789")
    os.chmod("file", 0)
    os.utime("file", ns=(0, 1_500_000_000_123_456_789))
    found = paths.stat("file")
    assert (found.size, found.version, found.is_object) == (9, "1500000000123456789", False)
    assert found.modified == pytest.approx(1_500_000_000.123, abs=0.001)
    assert found.crc32c == ""


def test_a_checksum_is_of_the_whole_content_however_it_is_read(monkeypatch):
    paths.write_bytes("file", b"123456789")
    for size in (1, 4, 9, 10):
        monkeypatch.setattr(entry, "CHUNK_BYTES", size)
        assert paths.checksum("file") == "e3069283"  # the one that is published for this text


def test_of_a_file_that_is_known_no_other_content_is_read():
    paths.write_bytes("file", b"old")
    os.utime("file", ns=(0, 1))
    known = paths.stat("file")
    with paths.open_input("file", known=known) as file:
        assert file.read() == b"old"
    paths.write_bytes("file", b"new")
    with pytest.raises(RunError) as error:
        paths.open_input("file", known=known)
    assert str(error.value) == "file: was changed while it was being read; expected the same content all along"
    with paths.open_input("file", known=paths.stat("file")) as file:
        assert file.read() == b"new"


def test_the_files_of_a_folder_come_by_their_paths_in_it_however_deep():
    put("folder/b", "folder/deep/er/a", "folder/.hidden")
    os.mkdir("folder/empty")
    files = paths.list_files("folder/")
    assert list(files) == [".hidden", "b", "deep/er/a"]
    assert files["deep/er/a"] == paths.stat("folder/deep/er/a")


def test_removing_takes_files_folders_and_links_and_what_is_gone_already():
    put("file", "folder/deep/file")
    os.symlink("folder", "link")
    for name in ("link", "file", "folder", "nowhere"):
        paths.remove(name)
    assert os.listdir() == []


def test_a_link_to_a_folder_is_removed_and_not_what_it_leads_to():
    put("folder/file")
    os.symlink("folder", "link")
    paths.remove("link")
    assert os.listdir("folder") == ["file"]


def test_a_folder_that_is_not_there_has_no_names():
    assert paths.list_names("nowhere") == []
    assert paths.list_files("nowhere") == {}


@pytest.mark.parametrize("call", [paths.stat, paths.checksum, paths.open_input, paths.read_bytes])
def test_what_is_not_there_is_told_from_what_cannot_be_read(call):
    put("file")
    with pytest.raises(MissingError):
        call("nowhere")
    with pytest.raises(RunError) as error:
        call("file/x")
    assert not isinstance(error.value, MissingError)


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (lambda: paths.read_bytes("nowhere"), "nowhere: no such file or directory"),
        (lambda: paths.stat("nowhere"), "nowhere: no such file or directory"),
        (lambda: paths.read_bytes("folder"), "folder: is a directory"),
        (lambda: paths.list_names("file"), "file: not a directory"),
        (lambda: paths.write_bytes("file/x", b""), "file/x: not a directory"),
        (lambda: paths.write_bytes("folder", b""), "folder: is a directory"),
        (lambda: paths.make_directory("file"), "file: not a directory; expected a folder that can be written to"),
        (lambda: paths.make_directory("file/x"), "file/x: not a directory; expected a folder that can be written to"),
        (lambda: staged("file/x"), "file: not a directory; expected a folder that can be written to"),
    ],
)
def test_what_the_operating_system_refuses_is_one_line_that_names_the_path(call, line):
    put("file", "folder/file")
    with pytest.raises(RunError) as error:
        call()
    assert str(error.value) == line
    assert temporary() == temporary("folder") == []
