"""TensorBoard's event files in a bucket, where each write is of a whole file and is billed."""

import tensorflow as tf

from trainer.storage import commit, operations, paths
from trainer.training.events import Events


EVERY_S = 60.0


def line(step):
    """What a stop has to say for TensorBoard."""
    return {"step": step, "rmse": step / 2, "train_loss": step / 4}


def started(gcs):
    return Events(f"{gcs}/job", every_s=EVERY_S, submit=commit.at_once)


def sizes(gcs):
    """The size of the event file of training and of that of evaluation, where they are."""
    files = {name.partition("events")[0]: entry.size for name, entry in paths.list_files(f"{gcs}/job").items()}
    assert len(files) == len(paths.list_files(f"{gcs}/job"))
    return files.get(""), files.get("eval/")


def scalars(gcs, folder, tmp_path):
    """The steps and values of each tag in the event files of a folder, as TensorFlow reads them."""
    found = {}
    for name in paths.list_names(f"{gcs}/job{folder}"):
        if name.startswith("events.out.tfevents."):
            copy = tmp_path / name
            copy.write_bytes(paths.read_bytes(f"{gcs}/job{folder}/{name}"))
            for event in tf.compat.v1.train.summary_iterator(str(copy)):
                for value in event.summary.value:
                    found.setdefault(value.tag, []).append((event.step, float(tf.make_ndarray(value.tensor))))
    return found


def test_there_is_one_write_a_period_at_most_however_many_stops_there_are(gcs):
    events, writes = started(gcs), []
    for step in range(1, 31):
        before = operations.so_far()
        events.add(line(step), now=1000.0 + 10 * step)
        writes.append((operations.so_far() - before).writes)
    assert writes == [1, 0, 0, 0, 0, 0] * 5
    events.close()


def test_a_stop_rarer_than_the_period_is_one_write_too(gcs):
    events = started(gcs)
    before = operations.so_far()
    for step in range(1, 5):
        events.add(line(step), now=1000.0 * step)
    assert (operations.so_far() - before).writes == 4
    events.close()


def test_the_two_files_take_turns(gcs):
    events, seen = started(gcs), []
    for step in range(1, 7):
        events.add(line(step), now=EVERY_S * step)
        seen.append(sizes(gcs))
    events.close()
    grown = [[a != b for a, b in zip(*pair, strict=True)] for pair in zip([(None, None), *seen], seen, strict=False)]
    assert sorted(grown[:2]) == [[False, True], [True, False]]
    assert grown == grown[:2] * 3


def test_what_was_held_back_is_written_at_the_end_and_all_can_be_read(gcs, tmp_path):
    events = started(gcs)
    for step in (10, 20, 30):
        events.add(line(step), now=0.0)
    before = operations.so_far()
    events.close()
    assert (operations.so_far() - before).writes == 2
    assert scalars(gcs, "", tmp_path) == {"loss": [(10, 2.5), (20, 5.0), (30, 7.5)]}
    assert scalars(gcs, "/eval", tmp_path) == {"rmse": [(10, 5.0), (20, 10.0), (30, 15.0)]}


def test_what_is_in_the_bucket_is_not_written_again_at_the_end(gcs):
    events = started(gcs)
    for turn in range(3):
        events.add({"step": 10, "rmse": 5.0} if not turn else {"step": 10 + turn}, now=EVERY_S * turn)
    before = operations.so_far()
    events.close()
    assert (operations.so_far() - before).writes == 0


def test_a_job_that_is_tried_again_later_writes_what_there_was_when_it_was_made(gcs, tmp_path):
    """Uploads may hold it back, while the file grows and is written again."""
    jobs = []
    events = Events(f"{gcs}/job", every_s=EVERY_S, submit=jobs.append)
    for step in (10, 20):
        events.add(line(step), now=EVERY_S * step)
    events.close()
    for job in jobs:
        job()
    assert scalars(gcs, "", tmp_path) == {"loss": [(10, 2.5), (20, 5.0)]}
    assert scalars(gcs, "/eval", tmp_path) == {"rmse": [(10, 5.0), (20, 10.0)]}


def test_a_later_process_leaves_the_files_of_an_earlier_one(gcs, tmp_path):
    for step in (10, 20):
        events = started(gcs)
        events.add(line(step), now=0.0)
        events.close()
    assert sorted(scalars(gcs, "", tmp_path)["loss"]) == [(10, 2.5), (20, 5.0)]
    assert sorted(scalars(gcs, "/eval", tmp_path)["rmse"]) == [(10, 5.0), (20, 10.0)]
