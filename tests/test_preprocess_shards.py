"""The files of the output: the same bytes however the rows come, and refusals of what is in the way."""

import hashlib
import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.errors import ConflictError, RunError, UsageError
from trainer.preprocessing import births, folder, layouts, plan, raw, shards, tally
from trainer.preprocessing.plan import Plan
from trainer.quality import statistics
from trainer.samples import natality_table
from trainer.storage import commit, lease, paths


@pytest.fixture(scope="module")
def rows():
    """About 1,900 rows to train on, without their keys; some are twice in it."""
    kept = births.kept(natality_table.draw(np.random.default_rng(8), 2000)).table
    made = layouts.babyweight(kept)
    return pa.concat_tables([made, made.slice(0, 50)])


def written(folder, rows, form, count, cuts, order):
    """Write the rows in pieces, in some order; the bytes of each file."""
    wanted = Plan(form, count, 1)
    pieces = [rows.slice(a, b - a) for a, b in zip([0, *cuts], [*cuts, len(rows)], strict=True)]
    shares = {name: [] for name in wanted.names}
    for index in order:
        for name, share in shards.divided(shards.keyed(pieces[index], form), wanted, "train"):
            shares[name].append(shards.unpacked(shards.packed(share)))
    empty = shards.keyed(rows.slice(0, 0), form)
    for name, tables in shares.items():
        found = shards.write(str(folder), name, [empty, *tables], form)
        content = (folder / name).read_bytes()
        assert (found.size, found.crc32c) == (len(content), paths.checksum(str(folder / name)))
        yield found.rows, content


@settings(max_examples=15)  # each waits for a disk
@given(
    count=st.integers(1, 12),
    cuts=st.lists(st.integers(0, 1900), max_size=6).map(sorted),
    shuffled=st.randoms(use_true_random=False),
)
def test_all_files_one_after_the_other_are_the_same_bytes_for_any_number_pieces_and_order(
    rows, tmp_path_factory, count, cuts, shuffled
):
    order = list(range(len(cuts) + 1))
    shuffled.shuffle(order)
    files = list(written(tmp_path_factory.mktemp("out"), rows, "csv", count, cuts, order))[:count]
    lines = layouts.lines(rows).to_pylist()
    expected = sorted(f"{line},{hashlib.sha224(line.encode()).hexdigest()}\n" for line in lines)
    expected.sort(key=lambda line: line.rpartition(",")[2])
    assert b"".join(content for _, content in files).decode() == "".join(expected)
    assert [found for found, _ in files] == [content.count(b"\n") for _, content in files]


def test_only_files_with_a_share_of_some_rows_are_named(rows):
    keyed = shards.keyed(rows.slice(0, 3), "csv")
    shares = dict(shards.divided(keyed, Plan("csv", 50, 1), "train"))
    assert 1 <= len(shares) <= 3
    assert sum(map(len, shares.values())) == 3
    assert all(map(len, shares.values()))


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_slice_of_a_table_is_written_as_itself(rows, tmp_path, form):
    keyed = shards.keyed(rows, form)
    for name, few in (("slice", keyed.slice(100, 20)), ("copy", keyed.take(list(range(100, 120))))):
        shards.write(str(tmp_path), name, [few], form)
    assert (tmp_path / "slice").read_bytes() == (tmp_path / "copy").read_bytes()


def test_files_are_of_about_one_size(rows, tmp_path):
    sizes = [found for found, _ in written(tmp_path, rows, "csv", 5, [], [0])][:5]
    assert min(sizes) > 0.8 * max(sizes)


@pytest.mark.parametrize("count", [1, 3])
def test_parquet_files_have_the_rows_of_the_csv_files_with_their_types(rows, tmp_path, monkeypatch, count):
    monkeypatch.setattr(shards, "ROW_GROUP_ROWS", 500)
    tables = [
        pq.read_table(io.BytesIO(content)) for _, content in written(tmp_path, rows, "parquet", count, [700], [1, 0])
    ]
    table = pa.concat_tables(tables[:count])
    assert table.schema.remove(table.schema.get_field_index("key")).equals(rows.schema)
    lines = layouts.lines(table).to_pylist()
    (_, text), *_ = written(tmp_path, rows, "csv", 1, [], [0])
    assert lines == text.decode().splitlines()
    assert pq.ParquetFile(tmp_path / f"train.parquet-00000-of-{count:05d}").num_row_groups > 1


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_file_without_rows_is_there_all_the_same(rows, tmp_path, form):
    *_, (found, content) = written(tmp_path, rows, form, 1, [], [0])
    assert found == 0
    if form == "csv":
        assert content == b""
    else:
        assert pq.read_schema(io.BytesIO(content)).names == [*rows.column_names, "key"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"size": None}, (40, 16)),
        ({"size": 10}, (4, 2)),
        ({"size": (10 << 30) + 1}, (161, 41)),
        ({"size": None, "train": 3}, (3, 16)),
        ({"size": 5, "evaluation": 1}, (4, 1)),
    ],
)
def test_how_many_files_there_are_follows_from_the_size_of_the_input(given, expected):
    made = plan.of("csv", **{"train": None, "evaluation": None, **given})
    assert (made.train, made.eval) == expected


@pytest.mark.parametrize(
    ("train", "evaluation", "flag"), [(0, 1, "--train-shards: 0"), (1, 100_000, "--eval-shards: 100000")]
)
def test_an_impossible_number_of_files_is_refused(train, evaluation, flag):
    with pytest.raises(UsageError, match=f"{flag}: expected 1 to 99,999"):
        plan.of("csv", size=None, train=train, evaluation=evaluation)


# The folder

RECIPE = {"input": [{"path": "a.csv", "size": 3, "version": "1"}], "format": "csv"}
NAMES = ("train.csv-00000-of-00001", "eval.csv-00000-of-00001")


@pytest.fixture
def sealed(rows, tmp_path):
    """A whole folder."""
    output = str(tmp_path / "out")
    with folder.begun(output, NAMES):
        files = [shards.write(output, name, [shards.keyed(rows, "csv")], "csv") for name in NAMES]
        folder.seal(output, RECIPE, {"births": 2}, files)
    return output


def test_a_whole_folder_is_known_by_its_recipe_and_holds_nothing_else(sealed):
    found = folder.finished(sealed, RECIPE)
    assert found["births"] == 2
    assert list(found["files"]) == sorted(NAMES)
    assert paths.list_names(sealed) == sorted([*NAMES, folder.STATS])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "parquet"}, "was made with format csv, now parquet"),
        ({"input": [{"path": "b.csv", "size": 3, "version": "1"}]}, "was made of a.csv, where now is b.csv"),
        ({"input": [{"path": "a.csv", "size": 3, "version": "2"}]}, "a.csv was changed since this was made"),
        ({"input": [*RECIPE["input"], *RECIPE["input"]]}, "was made of 1 files, now 2"),
        ({"input": "p.d.t"}, r"was made with input \[.*\], now p.d.t"),
    ],
)
def test_a_folder_of_another_recipe_is_refused_in_words(sealed, change, words):
    with pytest.raises(UsageError, match=f"{sealed}: {words}; expected the same, or another folder"):
        folder.finished(sealed, {**RECIPE, **change})


@pytest.mark.parametrize("damage", ["gone", "short"])
def test_a_file_that_is_gone_or_short_since_is_named(sealed, damage):
    path = paths.join(sealed, NAMES[0])
    paths.remove(path)
    if damage == "short":
        paths.write_bytes(path, b"x")
    with pytest.raises(
        commit.DamagedError, match=rf"{path}: {'1 bytes' if damage == 'short' else 'missing'}, expected"
    ):
        folder.finished(sealed, RECIPE)


def test_stats_of_something_else_are_refused(tmp_path):
    for content in (b"{}", b"[]", b"not", json.dumps({"recipe": 1, "files": {}}).encode()):
        (tmp_path / folder.STATS).write_bytes(content)
        with pytest.raises(UsageError, match=r"stats.json: is not of preprocessed files"):
            folder.finished(str(tmp_path), RECIPE)


@pytest.mark.parametrize("name", ["train.csv-00000-of-00002", "eval.csv", "train.tfrecords"])
def test_a_file_of_another_set_is_in_the_way(tmp_path, name):
    (tmp_path / name).write_text("")
    with (
        pytest.raises(UsageError, match=f"{name}: is of another set; expected a folder without it"),
        folder.begun(str(tmp_path), NAMES),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_two_do_not_write_to_a_folder_at_once_and_a_failed_one_lets_go(tmp_path):
    output = str(tmp_path)
    with folder.begun(output, NAMES), pytest.raises(ConflictError), folder.begun(output, NAMES):
        pass
    with pytest.raises(RunError, match="full"), folder.begun(output, NAMES):
        raise RunError("full")
    with folder.begun(output, NAMES):
        assert lease.NAME in paths.list_names(output)
    assert paths.list_names(output) == []


def test_what_a_killed_writer_left_is_removed(tmp_path):
    (tmp_path / ".tmp-0123456789abcdef").write_text("half")
    with folder.begun(str(tmp_path), NAMES):
        assert paths.list_names(str(tmp_path)) == [lease.NAME]


# The tally


def test_tallies_add_up_in_any_order(rows):
    def of(part, table, count, reason):
        return tally.Tally(count, {reason: 1}, {part: statistics.of(table)})

    parts = [
        of("train", rows.slice(0, 9), 10, "a"),
        of("eval", rows.slice(9, 5), 7, "b"),
        of("train", rows.slice(14), 3, "a"),
    ]
    one = tally.merged(tally.merged(*parts[:2]), parts[2])
    other = tally.merged(parts[2], tally.merged(parts[1], tally.merged(tally.EMPTY, parts[0])))
    assert json.dumps(tally.to_json(one), sort_keys=True) == json.dumps(tally.to_json(other), sort_keys=True)
    assert (one.births, one.dropped) == (20, {"a": 2, "b": 1})
    both = pa.concat_tables([rows.slice(0, 9), rows.slice(14)])
    assert tally.to_json(one)["train"] == statistics.to_json(statistics.of(both))


def test_the_columns_that_are_read_are_named_and_typed_alike():
    assert raw.SCHEMA.names == list(raw.COLUMNS)
