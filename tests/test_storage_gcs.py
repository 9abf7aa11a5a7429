"""Paths in a bucket: what they share with those on a disk, and what only a bucket does to them."""

import io
import time

import pytest

from tests.fault_proxy import FaultProxy, is_download, once
from tests.gcs_stub import answering, impatient
from trainer.errors import ConflictError, MissingError, RunError, UsageError
from trainer.storage import client, commit, gcs, operations, paths


LARGE = 9 << 20  # bytes: above 8 MB the client sends a file in parts
CHANGED = "was changed while it was being read; expected the same content all along"


@pytest.fixture(params=["disk", "bucket"])
def place(request, tmp_path):
    """A folder that is not there yet, on a disk and in a bucket."""
    return f"{tmp_path}/place" if request.param == "disk" else f"{request.getfixturevalue('gcs')}/place"


@pytest.fixture
def faults(gcs, gcs_port, monkeypatch):
    """Do a fault to one request, or none; returns the proxy, through which all goes from then on."""
    impatient(monkeypatch)
    proxies = []

    def start(choose=lambda request: None, **settings):
        proxies.append(FaultProxy(gcs_port, choose=choose, **settings))
        proxies[-1].__enter__()
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxies[-1].url)
        return proxies[-1]

    yield start
    for proxy in proxies:
        proxy.__exit__(None)


def put(place, *names):
    for name in names:
        paths.write_bytes(f"{place}/{name}", name.encode())


def is_write(request):
    return request.method in ("POST", "PUT")


def carries_content(request):
    return request.method == "PUT" or "uploadType=multipart" in request.target


def faults_done(proxy):
    return [request.fault for request in proxy.requests if request.fault]


def test_what_is_written_is_read_and_replaces_what_was_there(place):
    paths.write_bytes(f"{place}/deep/file", b"old and longer")
    paths.write_bytes(f"{place}/deep/file", b"new")
    assert paths.read_bytes(f"{place}/deep/file") == b"new"
    assert (paths.stat(f"{place}/deep/file").size, paths.list_names(f"{place}/deep")) == (3, ["file"])


def test_an_empty_file_is_a_file(place):
    paths.write_bytes(f"{place}/file", b"")
    assert paths.exists(f"{place}/file")
    assert paths.read_bytes(f"{place}/file") == b""
    with paths.open_input(f"{place}/file") as file:
        assert file.read() == b""


def test_files_and_folders_are_told_apart_and_what_is_neither_is_not_there(place):
    put(place, "deep/er/file")
    there = {name: (paths.exists(f"{place}/{name}"), paths.is_directory(f"{place}/{name}")) for name in NAMES}
    assert there == {
        "deep": (True, True),
        "deep/": (True, True),
        "deep/er": (True, True),
        "deep/er/file": (True, False),
        "dee": (False, False),  # what some names begin with is no folder
        "deep/er/fil": (False, False),
    }


NAMES = ("deep", "deep/", "deep/er", "deep/er/file", "dee", "deep/er/fil")


def test_a_folder_lists_the_names_right_in_it_and_the_files_however_deep(place):
    put(place, "folder/b", "folder/deep/er/a", "folder/.hidden", "folders/c")
    assert paths.list_names(f"{place}/folder") == paths.list_names(f"{place}/folder/") == [".hidden", "b", "deep"]
    files = paths.list_files(f"{place}/folder")
    assert list(files) == [".hidden", "b", "deep/er/a"]
    assert files["deep/er/a"] == paths.stat(f"{place}/folder/deep/er/a")


def test_a_folder_that_is_not_there_has_no_names(place):
    assert paths.list_names(f"{place}/nowhere") == []
    assert paths.list_files(f"{place}/nowhere") == {}
    assert paths.matches(f"{place}/nowhere/*") == []


def test_a_file_is_known_by_size_version_and_time_and_another_content_is_another_version(place):
    before = time.time()
    paths.write_bytes(f"{place}/file", b"123456789")
    first = paths.stat(f"{place}/file")
    assert first.size == 9
    assert first.modified == pytest.approx(before, abs=60)
    assert paths.stat(f"{place}/file") == first
    paths.write_bytes(f"{place}/file", b"987654321")
    assert paths.stat(f"{place}/file").version != first.version


def test_a_checksum_is_that_of_the_content(place):
    paths.write_bytes(f"{place}/file", b"123456789")
    assert paths.checksum(f"{place}/file") == "e3069283"  # the one that is published for this text


FILES = (
    "a.csv", "b.csv", "ab.csv", "c[1].csv.gz", "x-1", "x-2", "x!", ".hidden.csv", ".tmp-1/e.csv", "folder/f.csv",
    "folder/deep/d.csv", "folder/.g.csv", "folder/.git/h.csv",
)  # fmt: skip
GLOBS = {
    "*.csv": ["a.csv", "ab.csv", "b.csv"],  # not what begins with a dot
    "?.csv": ["a.csv", "b.csv"],
    "[ac].csv": ["a.csv"],
    "[!a].csv": ["b.csv"],
    "[a-c].csv": ["a.csv", "b.csv"],
    "x[!1-]*": ["x!"],
    "x[a!]": ["x!"],
    "x-[^2]": ["x-2"],  # a caret is itself
    "c[1].csv.gz": ["c[1].csv.gz"],  # a name may have brackets of its own
    "c[[]1]*": ["c[1].csv.gz"],
    "*": ["a.csv", "ab.csv", "b.csv", "c[1].csv.gz", "x!", "x-1", "x-2"],
    ".*.csv": [".hidden.csv"],
    "*/*.csv": ["folder/f.csv"],
    "**/*.csv": ["a.csv", "ab.csv", "b.csv", "folder/deep/d.csv", "folder/f.csv"],
    "**/d.csv": ["folder/deep/d.csv"],
    "folder/**/*.csv": ["folder/deep/d.csv", "folder/f.csv"],
    "folder/**": ["folder/deep/d.csv", "folder/f.csv"],
    "f*/d*/*": ["folder/deep/d.csv"],
    "folder": [],
    "nowhere/*": [],
    "a.csv": ["a.csv"],
    "a[.csv": [],
    "folder[!x]f.csv": [],  # no letter is a slash
    "[z-a].csv": [],
    "a**.csv": ["a.csv", "ab.csv"],
    "a**": ["a.csv", "ab.csv"],
    "fold**/*.csv": ["folder/f.csv"],
}


def test_a_glob_matches_the_same_on_a_disk_and_in_a_bucket(place):
    put(place, *FILES)
    found = {glob: paths.matches(f"{place}/{glob}") for glob in GLOBS}
    assert found == {glob: sorted(f"{place}/{name}" for name in names) for glob, names in GLOBS.items()}


def test_files_that_several_globs_match_come_once_and_in_the_order_of_the_globs(place):
    put(place, "a.csv", "b.csv")
    found = paths.expand([f"{place}/b*", f"{place}/*.csv", f"{place}/a.csv"])
    assert found == [f"{place}/b.csv", f"{place}/a.csv"]


def test_a_glob_of_nothing_is_bad_usage_and_a_folder_is_named_as_one(place):
    put(place, "folder/a.csv")
    for pattern, line in (
        ("nowhere*", "no such file; expected a path or a glob that matches at least one file"),
        ("folder", f"is a folder; expected files, such as {place}/folder/*.csv"),
    ):
        with pytest.raises(UsageError) as error:
            paths.expand([f"{place}/folder/*", f"{place}/{pattern}"])
        assert str(error.value) == f"{place}/{pattern}: {line}"


def test_removing_takes_files_folders_and_what_is_gone_already_and_nothing_beside_them(place):
    put(place, "file", "folder/deep/file", "folder/.hidden", "folders", "filed")
    for name in ("file", "folder", "nowhere"):
        paths.remove(f"{place}/{name}")
    assert paths.list_names(place) == ["filed", "folders"]


def test_a_write_that_fails_leaves_the_old_content_and_nothing_else(place):
    paths.write_bytes(f"{place}/file", b"old")
    with pytest.raises(ZeroDivisionError), paths.open_output(f"{place}/file") as file:
        file.write(b"new" * 1_000_000 + bytes(1 // 0))
    assert paths.read_bytes(f"{place}/file") == b"old"
    assert paths.list_names(place) == ["file"]


def test_what_is_written_bit_by_bit_is_there_after_the_block_and_not_before(place):
    with paths.open_output(f"{place}/file") as file:
        for part in (b"a", b"b" * 100_000, b"c"):
            file.write(part)
        assert not paths.exists(f"{place}/file")
    assert paths.read_bytes(f"{place}/file") == b"a" + b"b" * 100_000 + b"c"


@pytest.mark.parametrize("call", [paths.stat, paths.checksum, paths.open_input, paths.read_bytes])
def test_what_is_not_there_is_one_line_that_names_it(call, place):
    put(place, "folder/file")
    with pytest.raises(MissingError) as error:
        call(f"{place}/folder/fil")
    assert str(error.value).startswith(f"{place}/folder/fil: no such ")
    assert "\n" not in str(error.value)


def test_a_reader_can_seek_as_in_any_file(place):
    content = bytes(range(256)) * 20
    paths.write_bytes(f"{place}/file", content)
    with paths.open_input(f"{place}/file", buffer_bytes=100) as file, io.BytesIO(content) as other:
        for offset, whence, size in ((7, 0, 5), (250, 1, 1000), (-30, 2, 99), (0, 0, 0), (9999, 0, 1), (300, 0, -1)):
            assert file.seek(offset, whence) == other.seek(offset, whence)
            assert file.read(size) == other.read(size)
            assert file.tell() == other.tell()


def test_making_a_folder_leaves_nothing_in_a_bucket(gcs):
    paths.make_directory(f"{gcs}/job")
    assert paths.list_files(gcs) == {}


@pytest.mark.parametrize("size", [0, LARGE])
def test_a_file_of_any_size_arrives_whole(gcs, size):
    content = b"0123456789abcde" * (size // 15)
    paths.write_bytes(f"{gcs}/file", content)
    assert paths.stat(f"{gcs}/file").size == len(content)
    assert paths.read_bytes(f"{gcs}/file") == content


def test_generation_0_creates_and_does_not_replace(gcs):
    generation = gcs_write(gcs, b"first", 0)
    assert paths.stat(f"{gcs}/file").version == str(generation)
    with pytest.raises(ConflictError) as error:
        gcs_write(gcs, b"second", 0)
    assert str(error.value) == f"{gcs}/file: was changed by another writer (412)"
    assert paths.read_bytes(f"{gcs}/file") == b"first"


def test_a_generation_is_replaced_as_long_as_it_is_there(gcs):
    first = gcs_write(gcs, b"first", 0)
    second = gcs_write(gcs, b"second", first)
    assert second != first
    with pytest.raises(ConflictError):
        gcs_write(gcs, b"third", first)
    assert paths.read_bytes(f"{gcs}/file") == b"second"
    assert gcs_write(gcs, b"third", second) not in (first, second)


def test_what_is_there_already_is_no_conflict(gcs):
    first = gcs_write(gcs, b"the same", 0)
    assert gcs_write(gcs, b"the same", 0) == first
    assert gcs_write(gcs, b"the same", 12345) == first


def test_a_generation_is_removed_by_its_number_and_may_be_gone_already(gcs, faults):
    generation = gcs_write(gcs, b"content", 0)
    proxy = faults()
    for _ in range(2):
        remove_generation(gcs, generation)
    assert not paths.exists(f"{gcs}/file")
    targets = [request.target for request in proxy.requests if request.method == "DELETE"]
    assert len(targets) == 2
    assert all(
        f"ifGenerationMatch={generation}" in target for target in targets
    )  # this server heeds it in uploads only


def gcs_write(bucket, content, generation):
    return gcs.write_bytes(f"{bucket}/file", content, generation=generation)


def remove_generation(bucket, generation):
    gcs.remove_generation(f"{bucket}/file", generation)


@pytest.mark.parametrize("replaced", [False, True])
@pytest.mark.parametrize("kind", ["lost", "reset_response", "503", "429", "reset_request"])
def test_an_answer_that_is_lost_is_no_conflict(gcs, faults, kind, replaced):
    before = gcs_write(gcs, b"before", 0) if replaced else 0
    proxy = faults(once(kind, is_write), retry_after_s=0)
    generation = gcs_write(gcs, b"after", before)
    assert faults_done(proxy) == [kind]
    assert paths.stat(f"{gcs}/file").version == str(generation)
    assert paths.read_bytes(f"{gcs}/file") == b"after"


def test_an_answer_that_is_lost_hides_no_other_writer(gcs, faults):
    gcs_write(gcs, b"theirs", 0)
    proxy = faults(once("lost", is_write))
    with pytest.raises(ConflictError):
        gcs_write(gcs, b"ours", 0)
    assert faults_done(proxy) == ["lost"]
    assert paths.read_bytes(f"{gcs}/file") == b"theirs"


@pytest.mark.parametrize("size", [1000, LARGE])
def test_what_arrives_damaged_is_sent_again(gcs, faults, size):
    content = b"x" * size
    proxy = faults(once("wrong_bytes_up", carries_content))
    paths.write_bytes(f"{gcs}/file", content)
    assert faults_done(proxy) == ["wrong_bytes_up"]
    assert paths.read_bytes(f"{gcs}/file") == content


def test_what_arrives_damaged_every_time_is_one_line(gcs, faults):
    faults(lambda request: "wrong_bytes_up" if is_write(request) else None)
    with pytest.raises(RunError) as error:
        paths.write_bytes(f"{gcs}/file", b"content")
    assert str(error.value) == f"{gcs}/file: arrived with another checksum than it was sent with, 4 times"


def test_what_is_fetched_damaged_is_fetched_again(gcs, faults):
    paths.write_bytes(f"{gcs}/file", b"content")
    proxy = faults(once("wrong_bytes_down", is_download))
    assert paths.read_bytes(f"{gcs}/file") == b"content"
    assert faults_done(proxy) == ["wrong_bytes_down"]


def test_what_is_fetched_damaged_every_time_is_one_line(gcs, faults):
    paths.write_bytes(f"{gcs}/file", b"content")
    faults(lambda request: "wrong_bytes_down" if is_download(request) else None)
    with pytest.raises(RunError) as error:
        paths.read_bytes(f"{gcs}/file")
    assert str(error.value) == f"{gcs}/file: arrived with another checksum than it is stored with, 4 times"


def test_a_folder_that_is_fetched_damaged_is_fetched_again(gcs, faults):
    with commit.staged(f"{gcs}/1") as folder:
        paths.write_bytes(f"{folder}/file", b"content")
    proxy = faults(once("wrong_bytes_down", lambda request: is_download(request) and "file" in request.target))
    with commit.opened(f"{gcs}/1") as folder:
        assert paths.read_bytes(f"{folder}/file") == b"content"
    assert faults_done(proxy) == ["wrong_bytes_down"]


@pytest.mark.parametrize("kind", ["cut", "reset_response", "503", "lost"])
def test_a_range_that_arrives_in_part_is_fetched_again(gcs, faults, kind):
    content = bytes(range(256)) * 100
    paths.write_bytes(f"{gcs}/file", content)
    proxy = faults(once(kind, is_download))
    with paths.open_input(f"{gcs}/file", buffer_bytes=10_000) as file:
        file.seek(5)
        assert file.read(20_000) == content[5:20_005]
    assert faults_done(proxy) == [kind]


@pytest.mark.parametrize("change", [lambda path: paths.write_bytes(path, b"b" * 3000), paths.remove])
def test_content_of_two_versions_is_never_mixed(gcs, change):
    paths.write_bytes(f"{gcs}/file", b"a" * 3000)
    with paths.open_input(f"{gcs}/file", buffer_bytes=1000) as file:
        assert file.read(1000) == b"a" * 1000
        change(f"{gcs}/file")
        with pytest.raises(RunError) as error:
            file.read(1000)
    assert str(error.value) == f"{gcs}/file: {CHANGED}"
    assert not isinstance(error.value, MissingError)


def test_of_an_object_that_is_known_no_other_content_is_read(gcs):
    paths.write_bytes(f"{gcs}/file", b"old")
    known = paths.stat(f"{gcs}/file")
    with paths.open_input(f"{gcs}/file", known=known) as file:
        assert file.read() == b"old"
    paths.write_bytes(f"{gcs}/file", b"new")
    with pytest.raises(RunError) as error, paths.open_input(f"{gcs}/file", known=known) as file:
        file.read()
    assert str(error.value) == f"{gcs}/file: {CHANGED}"


def test_as_much_as_a_buffer_holds_is_one_request(gcs, faults):
    content = bytes(range(250)) * 1200  # 300,000
    paths.write_bytes(f"{gcs}/file", content)
    known = paths.stat(f"{gcs}/file")
    proxy = faults()
    with paths.open_input(f"{gcs}/file", known=known, buffer_bytes=1 << 17) as file:
        assert b"".join(iter(lambda: file.read(1000), b"")) == content
    assert len(proxy.requests) == 3
    assert all(is_download(request) for request in proxy.requests)


def test_all_that_is_left_is_one_request(gcs, faults):
    content = bytes(range(250)) * 1200
    paths.write_bytes(f"{gcs}/file", content)
    known = paths.stat(f"{gcs}/file")
    proxy = faults()
    with paths.open_input(f"{gcs}/file", known=known, buffer_bytes=1000) as file:
        file.seek(100)
        assert file.read() == content[100:]
        assert file.read() == b""
    assert len(proxy.requests) == 1


def test_the_server_says_how_long_to_wait(gcs, faults):
    proxy = faults(once("429"), retry_after_s=1)
    started = time.monotonic()
    paths.write_bytes(f"{gcs}/file", b"x")
    assert time.monotonic() - started >= 1
    assert faults_done(proxy) == ["429"]


def test_the_server_is_not_waited_for_without_end(gcs, faults, monkeypatch):
    monkeypatch.setattr(client, "LONGEST_WAIT_S", 0.1)
    proxy = faults(once("429"), retry_after_s=60)
    started = time.monotonic()
    paths.write_bytes(f"{gcs}/file", b"x")
    assert time.monotonic() - started < 60
    assert faults_done(proxy) == ["429"]


def counted(call):
    before = operations.so_far()
    call()
    return operations.so_far() - before


def test_requests_are_counted_as_they_are_billed(gcs):
    assert counted(lambda: put(gcs, "folder/a", "folder/b")) == operations.Operations(writes=2)
    assert counted(lambda: paths.stat(f"{gcs}/folder/a")) == operations.Operations(reads=1)
    assert counted(lambda: paths.read_bytes(f"{gcs}/folder/a")) == operations.Operations(reads=1)
    assert counted(lambda: paths.list_names(gcs)) == operations.Operations(lists=1)
    assert counted(lambda: paths.matches(f"{gcs}/**/a")) == operations.Operations(lists=1)
    assert counted(lambda: paths.remove(f"{gcs}/folder")) == operations.Operations(lists=1, deletes=2)


def test_a_request_that_is_sent_again_is_counted_again(gcs, faults):
    faults(once("503"))
    assert counted(lambda: put(gcs, "a")) == operations.Operations(writes=2)


@pytest.mark.parametrize("ahead_s", [-86400, 3600])
def test_the_time_is_the_servers(ahead_s, monkeypatch):
    monkeypatch.setattr(client._traffic, "ahead_s", 0.0)
    with answering(404, ahead_s=ahead_s) as stub:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", stub.url)
        assert client.server_time() == pytest.approx(time.time(), abs=60)
        with pytest.raises(MissingError):
            paths.stat("gs://bucket/file")
    assert client.server_time() == pytest.approx(time.time() + ahead_s, abs=60)
