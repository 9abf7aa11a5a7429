"""The order of examples: every row once an epoch, the same for every worker count, and exact from any position."""

import functools
import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.errors import RunError, UsageError
from trainer.inputs.batches import Batches, EvalBatches, Shard, TrainBatches
from trainer.inputs.source import Source, open_source
from trainer.inputs.spec import Columns, InputSpec, integer, number, pixels


SPEC = InputSpec((integer("row"),), number("y"))
LINE_BYTES = 10
NO_MEMORY = {"memory_bytes": 0}


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    """Make a source of numbered rows in files of some sizes; 10 bytes a row, 5 rows a unit."""
    folder = tmp_path_factory.mktemp("numbered")

    @functools.cache  # a file that is written again is another version, and its old units are not read any more
    def make(*rows_a_file):
        row = 0
        names = []
        for i, count in enumerate(rows_a_file):
            names.append(f"{folder}/{'-'.join(map(str, rows_a_file))}.{i}.csv")
            with open(names[-1], "w", encoding="ascii") as file:
                for _ in range(count):
                    file.write(f"{row:07d},1\n")
                    row += 1
        return open_source(tuple(names), SPEC, unit_bytes=5 * LINE_BYTES)

    return make


@dataclass(frozen=True)
class Counting(Source):
    """A source that counts how often each unit is read."""

    reads: Counter = field(default_factory=Counter)

    def read(self, unit) -> Columns:
        self.reads[unit] += 1
        return super().read(unit)


def counting(source):
    return Counting(source.files, source.units, source.spec)


def trained(source, *, batch_size=4, seed=7, window_bytes=12 * LINE_BYTES, **options):
    return TrainBatches(source, batch_size=batch_size, seed=seed, window_bytes=window_bytes, **options)


def rows_of(batches):
    """The rows of some batches, one list a step."""
    return [step for group in batches for step in group.data[0]["row"][..., 0].tolist()]


def taken(inputs, *steps):
    return [step for count in steps for step in rows_of(inputs.take(count))]


def flat(steps):
    return [row for step in steps for row in step]


@pytest.mark.parametrize("memory", [{}, NO_MEMORY], ids=["in_memory", "streaming"])
@pytest.mark.parametrize("sizes", [(40,), (13, 1, 26), (3,), (0, 8)])
def test_every_row_comes_once_an_epoch(numbered, sizes, memory):
    source, rows = numbered(*sizes), sum(sizes)
    inputs = trained(source, **memory)

    stream = flat(taken(inputs, rows))  # 4 epochs, since a batch has 4 rows

    for epoch in range(4):
        assert sorted(stream[epoch * rows : (epoch + 1) * rows]) == list(range(rows))


def test_epochs_differ_and_seeds_differ(numbered):
    source = numbered(40)

    stream = flat(taken(trained(source), 30))

    assert stream[:40] != stream[40:80] != stream[80:]
    assert stream[:40] != sorted(stream[:40])
    assert flat(taken(trained(source, seed=8), 10)) != stream[:40]


def test_a_window_of_the_first_epoch_mixes_units_of_all_files(numbered):
    first = flat(taken(trained(numbered(50, 50), window_bytes=50 * LINE_BYTES), 12))

    assert min(first) < 25
    assert max(first) >= 75


def test_batches_are_arrays_by_step_as_the_model_takes_them(numbered):
    (batches,) = trained(numbered(40)).take(3)
    features, label = batches.data

    assert batches.steps == 3
    assert (features["row"].shape, features["row"].dtype) == ((3, 4, 1), np.int32)
    assert (label.shape, label.dtype) == ((3, 4, 1), np.float32)
    assert [array.shape for array in (batches.part(0, 2).data[0]["row"], batches.part(0, 2).data[1])] == [(2, 4, 1)] * 2


def test_zeros_have_the_shape_of_a_worker_s_batch(numbered):
    features, label = trained(numbered(40), batch_size=6, shard=Shard(1, 3)).zeros()

    assert features["row"].shape == label.shape == (2, 1)


def test_a_batch_may_hold_all_rows_several_times(numbered):
    (step,) = taken(trained(numbered(3), batch_size=9), 1)

    assert Counter(step) == {0: 3, 1: 3, 2: 3}


@pytest.mark.parametrize("memory", [{}, NO_MEMORY], ids=["in_memory", "streaming"])
@given(data=st.data())
@settings(max_examples=15)
def test_the_order_does_not_depend_on_how_many_steps_are_taken_at_once(numbered, memory, data):
    source = numbered(13, 1, 26)
    expected = taken(trained(source, **memory), 40)

    counts = data.draw(st.lists(st.integers(1, 12), min_size=1, max_size=6).filter(lambda counts: sum(counts) <= 40))

    assert taken(trained(source, **memory), *counts) == expected[: sum(counts)]


@pytest.mark.parametrize("memory", [{}, NO_MEMORY], ids=["in_memory", "streaming"])
@pytest.mark.parametrize("batch_size", [1, 3, 40, 100])
def test_a_fresh_object_goes_on_from_any_saved_position(numbered, batch_size, memory):
    source = numbered(13, 1, 26)
    steps = max(3, 100 // batch_size)
    expected = taken(trained(source, batch_size=batch_size, **memory), 2 * steps)
    running = trained(source, batch_size=batch_size, **memory)

    for step in range(steps):
        saved = json.loads(json.dumps(running.save("unused")))
        fresh = trained(source, batch_size=batch_size, **memory)
        fresh.restore("unused", saved)
        assert taken(fresh, 4) == expected[step : step + 4]
        assert taken(running, 1) == expected[step : step + 1]


def test_an_object_in_use_goes_back_to_a_saved_position(numbered):
    inputs = trained(numbered(40))
    taken(inputs, 3)
    saved = inputs.save("unused")
    expected = taken(inputs, 20)

    for _ in range(2):
        inputs.restore("unused", saved)
        assert taken(inputs, 20) == expected


def test_the_order_is_the_same_for_every_number_of_workers(numbered):
    source = numbered(13, 1, 26)
    alone = taken(trained(source, batch_size=12), 20)

    for count in (1, 2, 3, 4, 6, 12):
        workers = [taken(trained(source, batch_size=12, shard=Shard(i, count)), 7, 13) for i in range(count)]
        assert [flat(shares) for shares in zip(*workers, strict=True)] == alone


def test_a_position_is_the_same_for_every_number_of_workers(numbered):
    source = numbered(40)
    alone, half = trained(source), trained(source, shard=Shard(1, 2))
    taken(alone, 13)
    taken(half, 13)

    assert alone.save("unused") == half.save("unused")


def test_a_batch_that_cannot_be_shared_evenly_is_refused(numbered):
    with pytest.raises(UsageError, match="--train-batch-size: 100: expected a multiple of the 3 workers"):
        trained(numbered(40), batch_size=100, shard=Shard(0, 3))


def test_units_are_read_once_where_they_fit_in_memory_and_once_an_epoch_where_not(numbered):
    kept, streamed = counting(numbered(40)), counting(numbered(40))

    taken(trained(kept), 45)
    inputs = trained(streamed, **NO_MEMORY)
    taken(inputs, 10)

    assert set(kept.reads.values()) == {1}
    assert set(streamed.reads.values()) <= {1, 2}  # the thread has begun with the next epoch
    assert len(streamed.reads) == 8


def test_a_restored_run_reads_no_more_than_its_window_and_the_next(numbered):
    source = numbered(1000)
    running = trained(source)
    taken(running, 100)
    saved = running.save("unused")
    resumed = counting(source)

    fresh = trained(resumed)
    fresh.restore("unused", saved)
    taken(fresh, 1)
    fresh._maker.shutdown(wait=True)  # let the thread finish what it began

    assert 0 < len(resumed.reads) <= 2 * 3  # a window is 3 units here


def test_streaming_holds_no_more_than_two_windows(numbered):
    inputs = trained(numbered(1000), **NO_MEMORY)
    taken(inputs, 400)

    assert inputs._windows.kept.units == {}
    assert inputs._windows.all is None


def test_a_position_past_the_end_of_changed_files_goes_on_with_the_next_window(numbered):
    inputs = trained(numbered(40))
    inputs.restore("unused", {"epoch": 0, "window": 0, "row": 39})

    assert len(flat(taken(inputs, 5))) == 20


def test_what_fails_in_the_thread_is_raised_by_take_each_time(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(b"1,1\nx,1\n")
    inputs = trained(open_source((str(path),), SPEC))

    for _ in range(2):
        with pytest.raises(RunError, match=r"rows\.csv: line 2: column row: 'x' is not an integer"):
            inputs.take(1)


def test_a_file_that_goes_away_is_an_error_that_names_it(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(b"1,1\n")
    inputs = trained(open_source((str(path),), SPEC))
    path.unlink()

    with pytest.raises(RunError, match=r"rows\.csv: no such file"):
        inputs.take(1)


@pytest.mark.parametrize("content", [b"row,y\n", b"a,1\nb,1\n"], ids=["only_a_header", "only_bad_rows"])
@pytest.mark.parametrize("memory", [{}, NO_MEMORY], ids=["in_memory", "streaming"])
def test_no_rows_at_all_are_an_error_and_not_an_endless_search(tmp_path, content, memory):
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    source = open_source((str(path),), SPEC, on_bad_row="skip")

    with pytest.raises(RunError, match=r"rows\.csv: no rows that can be trained on"):
        trained(source, **memory).take(1)
    assert list(EvalBatches(source, batch_size=4, **memory).passes(3)) == []


def test_no_rows_to_evaluate_on_are_an_error_before_any_training(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(b"row,y\n")

    with pytest.raises(RunError, match=r"rows\.csv: no rows that can be evaluated on"):
        EvalBatches(open_source((str(path),), SPEC), batch_size=4).check()


def test_windows_whose_rows_are_all_skipped_are_passed_over(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(b"bad,bad\n" * 50 + b"7,1.0000\n" + b"bad,bad\n" * 50)
    source = open_source((str(path),), SPEC, on_bad_row="skip", unit_bytes=16)

    assert taken(trained(source, window_bytes=16, **NO_MEMORY), 2) == [[7] * 4] * 2


def test_a_process_ends_although_the_thread_has_more_to_make(numbered):
    files = numbered(1000).files
    program = f"""
from trainer.inputs.batches import TrainBatches
from trainer.inputs.source import open_source
from trainer.inputs.spec import InputSpec, integer, number

source = open_source({files!r}, InputSpec((integer("row"),), number("y")), unit_bytes=50)
inputs = TrainBatches(source, batch_size=4, seed=1, window_bytes=100)
inputs.take(1)
print("taken")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, "taken\n", "")


def shapes(groups):
    return [(group.steps, group.data[0]["row"].shape[1]) for group in groups]


@pytest.mark.parametrize("memory", [{}, NO_MEMORY], ids=["in_memory", "streaming"])
@pytest.mark.parametrize("sizes", [(40,), (13, 1, 26), (0, 8), (1,)])
@given(batch_size=st.integers(1, 50), steps=st.integers(1, 20))
@settings(max_examples=15)
def test_an_evaluation_counts_every_row_once_and_in_order(numbered, sizes, memory, batch_size, steps):
    inputs = EvalBatches(numbered(*sizes), batch_size=batch_size, **memory)

    for _ in range(2):
        groups = list(inputs.passes(steps))
        assert flat(rows_of(groups)) == list(range(sum(sizes)))
        assert all(size == batch_size and count <= steps for count, size in shapes(groups)[:-1])


def test_an_evaluation_ends_with_what_is_left_and_a_short_batch(numbered):
    assert shapes(EvalBatches(numbered(40), batch_size=6).passes(4)) == [(4, 6), (2, 6), (1, 4)]
    assert shapes(EvalBatches(numbered(40), batch_size=10).passes(4)) == [(4, 10)]
    assert shapes(EvalBatches(numbered(40), batch_size=100).passes(4)) == [(1, 40)]


def test_an_evaluation_reads_a_unit_once_where_all_fit_in_memory_even_if_it_is_left_early(numbered):
    source = counting(numbered(40))
    inputs = EvalBatches(source, batch_size=4)

    next(inputs.passes(2))
    assert len(source.reads) == 4  # as many as are read at once
    list(inputs.passes(2))
    list(inputs.passes(2))

    assert set(source.reads.values()) == {1}
    assert len(source.reads) == 8


def test_an_evaluation_that_does_not_fit_in_memory_reads_again(numbered):
    source = counting(numbered(40))
    inputs = EvalBatches(source, batch_size=4, **NO_MEMORY)

    for _ in range(2):
        list(inputs.passes(2))

    assert set(source.reads.values()) == {2}


def test_images_stay_bytes_until_they_are_a_batch(tmp_path):
    spec = InputSpec((pixels("image", 2),), integer("label"))
    (tmp_path / "a-images-idx3-ubyte").write_bytes(
        b"\0\0\x08\x02" + bytes([0, 0, 0, 3, 0, 0, 0, 2, 0, 255, 51, 0, 0, 0])
    )
    (tmp_path / "a-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + bytes([0, 0, 0, 3, 0, 1, 2]))

    (batches,) = EvalBatches(open_source((f"{tmp_path}/*",), spec), batch_size=3).passes(1)

    assert np.allclose(batches.data[0]["image"], [[[0, 1], [0.2, 0], [0, 0]]])
    assert batches.data[0]["image"].dtype == np.float32


def test_a_part_of_some_batches_keeps_the_nesting():
    made = Batches(4, ({"a": np.arange(4)}, [np.arange(4), np.arange(4)]))

    part = made.part(1, 3)

    assert part.steps == 2
    assert [part.data[0]["a"].tolist(), [values.tolist() for values in part.data[1]]] == [[1, 2], [[1, 2], [1, 2]]]
