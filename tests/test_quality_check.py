"""`python -m trainer.data check`: what is wrong with data is found, named and counted; what is not is let be."""

import dataclasses
import gzip
import json
import logging
import os
import random
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trainer import data
from trainer.experiments import babyweight, mnist
from trainer.inputs import records
from trainer.inputs.spec import InputSpec, category, integer, number, pixels, vector
from trainer.quality import check, checks, options, reading, statistics
from trainer.samples.mnist import encode
from trainer.settings import command
from trainer.storage import paths


ROOT = Path(__file__).parents[1]
REAL = Path(os.environ.get("TRAINER_DATA", ROOT.parent / "shared" / "data"))
needs_real_data = pytest.mark.skipif(not REAL.is_dir(), reason=f"no real data in {REAL}; set TRAINER_DATA")
NAMES = babyweight.SPEC.columns
WEEKS = NAMES.index("gestation_weeks")


@pytest.fixture(scope="module")
def lines(births):
    """The lines of the sample births, to train on and to evaluate on."""
    read = {
        side: [line for path in sorted(Path(births).glob(f"{side}*")) for line in path.read_text().splitlines()]
        for side in ("train", "eval")
    }
    assert {side: len(found) for side, found in read.items()} == {"train": 1600, "eval": 400}
    return read


@pytest.fixture
def checked(tmp_path):
    """Check lines of births; returns the report."""

    def perform(train, evaluation):
        for side, found in (("train.csv", train), ("eval.csv", evaluation)):
            (tmp_path / side).write_text("".join(f"{line}\n" for line in found))
        return check.perform(babyweight.SPEC, [str(tmp_path / "train.csv")], [str(tmp_path / "eval.csv")])

    return perform


@pytest.fixture
def call(capsys):
    """Call the command in this process; returns its exit code, stdout and stderr."""
    log = logging.getLogger("trainer")
    handlers, level, propagate = log.handlers, log.level, log.propagate

    def run(*words):
        code = command.run(data.main, prog="trainer.data", argv=["check", *map(str, words)])
        out, err = capsys.readouterr()
        return code, out, err

    yield run
    log.handlers, log.level, log.propagate = handlers, level, propagate


def said(report, severity=None, check=None, data=None):
    """The findings of a kind as text, but for what is only good to know."""
    wanted = {"severity": severity, "check": check, "data": data}
    return [
        str(finding)
        for finding in report.findings
        if (severity or finding.severity != "INFO")
        and all(value is None or getattr(finding, name) == value for name, value in wanted.items())
    ]


def with_cell(line, name, value):
    cells = line.split(",")
    cells[NAMES.index(name)] = value
    return ",".join(cells)


def with_cells(found, name, values):
    """The lines with other values in one column, as far as there are values."""
    changed = [with_cell(line, name, value) for line, value in zip(found, values, strict=False)]
    return changed + found[len(changed) :]


def test_nothing_is_wrong_with_the_sample_data(lines, checked):
    report = checked(lines["train"], lines["eval"])
    assert said(report) == []
    assert {side: part.rows for side, part in report.statistics.items()} == {"train": 1600, "eval": 400}


@needs_real_data
def test_real_births_pass_and_their_empty_columns_are_said():
    report = check.perform(babyweight.SPEC, [f"{REAL}/natality/train*"], [f"{REAL}/natality/eval*"])
    assert said(report, "ERROR") == []
    assert said(report, "WARNING") == [
        "column mother_race: 'Unknown' in all rows; expected values that differ",
        *(
            f"column {name}: missing in all rows; expected values that differ"
            for name in ("mother_married", "cigarette_use", "alcohol_use")
        ),
    ]
    assert said(report, "INFO", "duplicates", "train, eval") == [
        "examples by column key: 1,734 of 4,976 (34.8%) are also among those to train on; "
        "expected about 34.3%, the share of examples to train on that are equal to another one"
    ]


@needs_real_data
def test_real_digits_pass():
    report = check.perform(mnist.SPEC, [f"{REAL}/mnist/train*"], [f"{REAL}/mnist/t10k*"])
    assert report.findings == ()
    assert {side: part.rows for side, part in report.statistics.items()} == {"train": 60_000, "eval": 10_000}


@pytest.mark.parametrize(
    ("name", "value", "thing", "found"),
    [
        ("mother_age", "old", "column mother_age", "line 3: column mother_age: 'old' is not a number"),
        ("weight_pounds", "", "column weight_pounds", "line 3: column weight_pounds: '' is a missing value, expected"),
        ("gestation_weeks", "inf", "column gestation_weeks", "'inf' is not a finite number"),
        ("plurality", "1,1", "rows", "line 3: 11 columns, expected 10 (weight_pounds,is_male"),
    ],
)
def test_a_row_that_training_stops_at_is_an_error_with_its_place(lines, checked, name, value, thing, found):
    train = [*lines["train"][:2], *(with_cell(line, name, value) for line in lines["train"][2:4]), *lines["train"][4:]]
    report = checked(train, lines["eval"])
    (text,) = said(report)
    assert said(report, "ERROR", "rows", "train") == [text]
    assert text.startswith(f"{thing}: 2 of 1,600 (0.1%) rows cannot be trained on; the first: ")
    assert found in text
    assert "train.csv: line 3: " in text
    assert report.statistics["train"].rows == 1598


def test_lines_are_counted_from_the_header_and_the_first_file_is_named(lines, tmp_path):
    for name, place in (("train-1.csv", 700), ("train-2.csv", 3)):
        bad = [with_cell(line, "plurality", "z") if i == place else line for i, line in enumerate(lines["train"][:900])]
        (tmp_path / name).write_text("\n".join([",".join(NAMES), *bad]))
    (tmp_path / "eval.csv").write_text("\n".join(lines["eval"]))
    report = check.perform(babyweight.SPEC, [f"{tmp_path}/train*"], [f"{tmp_path}/eval.csv"])
    (text,) = said(report, "ERROR", "rows")
    assert text.startswith("column plurality: 2 of 1,800 (0.1%) rows cannot be trained on")
    assert f"the first: {tmp_path}/train-1.csv: line 702: column plurality: 'z' is not a number" in text


def test_bad_rows_of_several_columns_are_told_apart(lines, checked):
    train = with_cells(with_cells(lines["train"], "mother_age", ["x", "y"]), "plurality", ["1", "1", "z"])
    report = checked(train, lines["eval"])
    assert [text.partition(" rows")[0] for text in said(report)] == [
        "column mother_age: 2 of 1,600 (0.1%)",
        "column plurality: 1 of 1,600 (0.1%)",
    ]


def test_blank_lines_are_no_rows_and_lines_are_still_counted(lines, checked):
    train = [*lines["train"][:5], "", "  ", with_cell(lines["train"][5], "plurality", "z"), *lines["train"][6:]]
    report = checked(train, lines["eval"])
    (text,) = said(report)
    assert "train.csv: line 8: column plurality: 'z'" in text
    assert report.statistics["train"].rows == 1599


def test_words_in_another_spelling_are_an_error(lines, checked):
    train = [line.replace(",True,", ",true,").replace(",False,", ",false,") for line in lines["train"]]
    report = checked(train, lines["eval"])
    (text,) = [text for text in said(report, "ERROR", "vocabulary", "train") if "is_male" in text]
    assert "column is_male: 1,600 of 1,600 values are not in the vocabulary, such as " in text
    assert text.endswith("; expected one of 'True', 'False'")


def test_unknown_words_are_a_warning_with_their_counts(lines, checked):
    report = checked(with_cells(lines["train"], "mother_race", ["Martian", "Venusian", "Martian"]), lines["eval"])
    (text,) = said(report)
    assert said(report, "WARNING", "vocabulary", "train") == [text]
    assert text.startswith(
        "column mother_race: 3 of 1,600 (0.2%) values are unknown words: 'Martian' 2, 'Venusian' 1; "
    )
    assert "expected one of 'White', 'Black'," in text


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        (
            "mother_age",
            "0",
            "column mother_age: 2 of 1,600 (0.1%) values are beyond, up to 0; expected at least 8 years",
        ),
        ("mother_age", "270", "values are beyond, up to 270; expected at most 70 years"),
        (
            "weight_pounds",
            "3500",
            "label weight_pounds: 2 of 1,600 (0.1%) values are beyond, up to 3500; expected at m",
        ),
    ],
)
def test_numbers_that_make_no_sense_are_an_error(lines, checked, name, value, found):
    report = checked(with_cells(lines["train"], name, [value] * 2), lines["eval"])
    (text,) = said(report)
    assert said(report, "ERROR", "range", "train") == [text]
    assert found in text


def test_a_column_with_one_value_is_a_warning_and_such_a_label_an_error(lines, checked):
    sides = [
        with_cells(with_cells(lines[side], "plurality", ["1"] * 1600), "weight_pounds", ["7.5"] * 1600)
        for side in ("train", "eval")
    ]
    report = checked(*sides)
    assert said(report, check="constant") == [
        "label weight_pounds: 7.5 in all rows; expected values that differ",
        "column plurality: 1 in all rows; expected values that differ",
    ]
    assert [finding.severity for finding in report.findings if finding.check == "constant"] == ["ERROR", "WARNING"]


def test_many_missing_values_are_a_warning_but_not_where_there_is_a_word_for_them(lines, checked):
    sides = [
        with_cells(with_cells(lines[side], "mother_age", [""] * count), "cigarette_use", ["None"] * count)
        for side, count in (("train", 400), ("eval", 100))
    ]
    report = checked(*sides)
    assert said(report) == [
        "column mother_age: 400 of 1,600 (25.0%) values are missing; expected at most 10%",
        "column mother_age: 100 of 400 (25.0%) values are missing; expected at most 10%",
    ]


def test_rows_to_evaluate_on_that_are_trained_on_are_an_error(lines, checked):
    report = checked(lines["train"], [*lines["eval"][:300], *lines["train"][:100]])
    (text,) = said(report)
    assert said(report, "ERROR", "duplicates", "train, eval") == [text]
    assert text.startswith(
        "examples by column key: 100 of 400 (25.0%) are also among those to train on; expected about 0.1%"
    )


def test_a_few_of_them_are_a_warning(lines, checked):
    report = checked(lines["train"], [*lines["eval"][:390], *lines["train"][:10]])
    (text,) = said(report)
    assert said(report, "WARNING", "duplicates", "train, eval") == [text]


def test_examples_that_are_equal_by_chance_are_not_taken_for_copies(tmp_path):
    spec = InputSpec((number("dice"), number("other")), number("label"))
    rolls = np.random.default_rng(0).integers(1, 30, (3000, 3))

    def write(name, rows):
        (tmp_path / name).write_text("".join(f"{a},{b},{c}\n" for a, b, c in rows))
        return [str(tmp_path / name)]

    train, fair = write("train.csv", rolls[:2000]), write("fair.csv", rolls[2000:])
    report = check.perform(spec, train, fair)
    assert said(report) == []
    (text,) = said(report, "INFO", data="train, eval")
    assert text.startswith("examples: 92 of 1,000 (9.2%) are also among those to train on; expected about 7.3%")

    copied = write("copied.csv", [*rolls[2000:2800], *rolls[:200]])
    assert len(said(check.perform(spec, train, copied), "ERROR", "duplicates")) == 1


def test_the_same_rows_in_two_files_are_an_error_whatever_their_order(lines, tmp_path):
    for name, found in (("a", lines["train"]), ("b", lines["train"][::-1]), ("c", lines["eval"])):
        (tmp_path / f"{name}.csv").write_text("\n".join(found))
    report = check.perform(
        babyweight.SPEC, [f"{tmp_path}/a.csv", f"{tmp_path}/b.csv"], [f"{tmp_path}/c.csv", f"{tmp_path}/a.csv"]
    )
    texts = said(report, "ERROR", "duplicates")
    assert f"{tmp_path}/b.csv: has the same 1,600 rows as {tmp_path}/a.csv; expected each file once" in texts
    assert f"{tmp_path}/a.csv: has the same 1,600 rows as {tmp_path}/a.csv; expected each file once" in texts
    (text,) = said(report, "WARNING", "duplicates", "train")
    assert text.startswith(
        "examples by column key: 3,200 of 3,200 (100.0%) are equal to another one; expected at most 50%"
    )


def test_values_that_are_elsewhere_in_eval_are_a_warning_by_column(lines, checked):
    older = [with_cell(line, "mother_age", str(int(line.split(",")[2]) + 10)) for line in lines["eval"]]
    others = with_cells(older, "mother_race", ["Black"] * 200)
    report = checked(lines["train"], others)
    texts = said(report)
    assert said(report, "WARNING", "drift", "train, eval") == texts
    age, race = texts
    assert age.startswith("column mother_age: mean 27.38 in train, mean 37.77 in eval; ")
    assert "(large, index " in age
    assert race.startswith("column mother_race: ")
    assert "'Black' 16." in race
    assert race.endswith("; expected a population stability index below 0.1")


def test_a_file_that_lacks_a_column_is_an_error_and_the_others_are_still_checked(lines, tmp_path):
    (tmp_path / "train-1.csv").write_text("\n".join([",".join(NAMES), *lines["train"][:800]]))
    lacking = [",".join(line.split(",")[1:]) for line in [",".join(NAMES), *lines["train"][800:]]]
    (tmp_path / "train-2.csv").write_text("\n".join(lacking))
    (tmp_path / "eval.csv").write_text("\n".join(lines["eval"]))
    report = check.perform(babyweight.SPEC, [f"{tmp_path}/train*"], [f"{tmp_path}/eval.csv"])
    (text,) = said(report)
    assert said(report, "ERROR", "files", "train") == [text]
    assert text.startswith(f"{tmp_path}/train-2.csv: the header lacks the column weight_pounds; it has is_male,")
    assert report.statistics["train"].rows == 800


def test_files_of_which_one_is_gone_are_a_warning_where_their_rows_were_counted(lines, checked, tmp_path):
    rows = {side: statistics.to_json(statistics.Statistics(len(lines[side]))) for side in ("train", "eval")}
    (tmp_path / "stats.json").write_text(json.dumps(rows))
    assert said(checked(lines["train"], lines["eval"])) == []
    report = checked(lines["train"][:1200], lines["eval"])
    assert said(report, "WARNING", "files", "train") == ["files: 1,200 rows; expected 1,600, as stats.json has it"]


def test_columns_that_nobody_reads_are_only_said(lines, tmp_path):
    (tmp_path / "train.csv").write_text(
        "\n".join([",".join([*NAMES, "father_age"]), *(f"{line},30" for line in lines["train"])])
    )
    table = pa.table({name: [line.split(",")[i] for line in lines["eval"]] for i, name in enumerate(NAMES)})
    pq.write_table(table.append_column("hospital", pa.array(["A"] * 400)), tmp_path / "eval.parquet")
    report = check.perform(babyweight.SPEC, [f"{tmp_path}/train.csv"], [f"{tmp_path}/eval.parquet"])
    assert said(report) == []
    assert said(report, "INFO", "files") == [
        f"column father_age: is in {tmp_path}/train.csv, and not read; expected only known columns",
        f"column hospital: is in {tmp_path}/eval.parquet, and not read; expected only known columns",
    ]


@pytest.mark.parametrize("name", ["train.csv.gz", "train.parquet", "train.csv"])
def test_a_file_that_is_not_whole_is_an_error(lines, tmp_path, name):
    content = "\n".join(lines["train"]).encode()
    whole = {"train.csv.gz": gzip.compress(content), "train.parquet": b"PAR1" + content, "train.csv": b""}[name]
    (tmp_path / name).write_bytes(whole[:-20])
    (tmp_path / "eval.csv").write_text("\n".join(lines["eval"]))
    report = check.perform(babyweight.SPEC, [f"{tmp_path}/{name}"], [f"{tmp_path}/eval.csv"])
    (text,) = said(report)
    assert said(report, "ERROR", "files", "train") == [text]
    assert text.startswith(f"{tmp_path}/{name}: no" + ("t a whole" if whole else " data"))


def test_a_file_whose_rows_are_all_bad_has_no_statistics_and_one_error(lines, checked):
    report = checked([line.replace(",", ";") for line in lines["train"]], lines["eval"])
    (text,) = said(report)
    assert text.startswith("rows: 1,600 of 1,600 (100.0%) rows cannot be trained on")


def test_reading_ends_early_where_very_many_rows_are_bad(lines, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MOST_BAD", 1000)
    for i in range(6):
        (tmp_path / f"train-{i}.csv").write_text("".join(f"{line};\n".replace(",", ";") for line in lines["train"]))
    (tmp_path / "eval.csv").write_text("\n".join(lines["eval"]))
    report = check.perform(babyweight.SPEC, [f"{tmp_path}/train*"], [f"{tmp_path}/eval.csv"])
    unread, bad = said(report, "ERROR")
    assert unread == f"{tmp_path}/train-1.csv: not read to its end, since 3,200 rows so far are bad; expected fewer"
    assert bad.startswith("rows: 3,200 of 3,200 (100.0%) rows cannot be trained on")


@pytest.mark.parametrize("form", ["csv with a header", "gzip", "parquet"])
def test_every_form_of_the_same_rows_says_the_same(lines, births, tmp_path, form):
    for side in ("train", "eval"):
        cells = list(zip(*(line.split(",") for line in lines[side]), strict=True))
        if form == "csv with a header":
            (tmp_path / f"{side}.csv").write_text("\n".join([",".join(NAMES), *lines[side], ""]))
        elif form == "gzip":
            (tmp_path / f"{side}.csv.gz").write_bytes(gzip.compress("\n".join(lines[side]).encode()))
        else:
            columns = dict(zip(NAMES, cells, strict=True))
            typed = {
                feature.name: pa.array(columns[feature.name]).cast(pa.float64())
                for feature in babyweight.SPEC.read
                if not feature.vocabulary
            }
            pq.write_table(pa.table({**columns, **typed}), tmp_path / f"{side}.parquet", row_group_size=300)
    known = check.perform(babyweight.SPEC, [f"{births}/train*"], [f"{births}/eval*"])
    found = check.perform(babyweight.SPEC, [f"{tmp_path}/train*"], [f"{tmp_path}/eval*"])
    assert found.statistics == known.statistics
    assert found.findings == known.findings
    assert said(known, "INFO")


def test_a_parquet_row_that_training_stops_at_is_named_by_its_row(tmp_path):
    spec = InputSpec((number("x"),), number("y"))
    table = pa.table({"x": [*range(10), None, *range(9)], "y": [float(i) for i in range(20)]})
    pq.write_table(table, tmp_path / "train.parquet", row_group_size=6)
    (tmp_path / "eval.csv").write_text("1,1\n2,2\n")
    report = check.perform(spec, [f"{tmp_path}/train.parquet"], [f"{tmp_path}/eval.csv"])
    assert "train.parquet: row 11: column x: None is a missing value" in said(report, "ERROR", "rows")[0]


def test_keys_are_compared_as_text_whatever_their_type(tmp_path):
    spec = InputSpec((number("x"),), number("y"), columns=("x", "y", "id"), key="id")
    ids = [2**60 + i for i in range(50)]
    table = pa.table({"x": np.arange(50.0), "y": np.arange(50.0), "id": ids})
    pq.write_table(table, tmp_path / "train.parquet")
    (tmp_path / "eval.csv").write_text("".join(f"{i},{i},{key}\n" for i, key in enumerate([*ids[:3], 1, 2, 3, 4])))
    report = check.perform(spec, [f"{tmp_path}/train.parquet"], [f"{tmp_path}/eval.csv"])
    (text,) = said(report, check="duplicates")
    assert text.startswith(
        "examples by column id: 3 of 7 (42.9%) are also among those to train on; expected about 0.0%"
    )


def write_digits(folder, side, images, labels):
    for name, array in ((f"{side}-images-idx3-ubyte", images), (f"{side}-labels-idx1-ubyte", labels)):
        paths.write_bytes(f"{folder}/{name}", encode(array.astype(np.uint8)))
    return [f"{folder}/{side}*"]


@pytest.fixture
def images():
    """120 noisy images, and labels that take turns."""
    return np.random.default_rng(0).integers(0, 256, (120, 28, 28)), np.arange(120) % 10


def test_images_of_one_colour_are_a_warning(tmp_path, images):
    pixels, labels = images
    train = np.concatenate([np.full((2, 28, 28), 7), pixels[2:80]])
    report = check.perform(
        mnist.SPEC,
        write_digits(tmp_path, "train", train, labels[:80]),
        write_digits(tmp_path, "t10k", pixels[80:], labels[80:]),
    )
    assert said(report) == [
        "column inputs: 2 of 80 (2.5%) images have one colour in all of their pixels; "
        "expected images that show something"
    ]
    assert said(report, "WARNING", "images", "train")


def test_images_of_another_size_are_an_error(tmp_path, images):
    pixels, labels = images
    report = check.perform(
        mnist.SPEC,
        write_digits(tmp_path, "train", pixels[:80, :, :20], labels[:80]),
        write_digits(tmp_path, "t10k", pixels[80:], labels[80:]),
    )
    assert said(report, "ERROR", "files", "train") == [
        f"{tmp_path}/train-images-idx3-ubyte: 560 pixels an image; expected 784"
    ]


def test_labels_that_lack_their_images_are_an_error(tmp_path, images):
    pixels, labels = images
    write_digits(tmp_path, "train", pixels, labels)
    os.remove(tmp_path / "train-images-idx3-ubyte")
    report = check.perform(mnist.SPEC, [f"{tmp_path}/train*"], write_digits(tmp_path, "t10k", pixels[80:], labels[80:]))
    assert "no images file beside it" in said(report, "ERROR", "files", "train")[0]


def test_the_same_images_in_train_and_eval_are_found_in_idx_and_tfrecord(tmp_path, images):
    pixels, labels = (array.astype(np.uint8) for array in images)
    train = write_digits(tmp_path, "train", pixels[:80], labels[:80])
    records.write_tfrecord(f"{tmp_path}/eval.tfrecords", pixels[60:], labels[60:])
    report = check.perform(mnist.SPEC, train, [f"{tmp_path}/eval.tfrecords"])
    (text,) = said(report, check="duplicates")
    assert text.startswith("examples: 20 of 60 (33.3%) are also among those to train on; expected about 0.0%")
    assert report.statistics["eval"].columns["label"].counts == {float(digit): 6 for digit in range(10)}


def test_a_class_that_train_lacks_is_an_error_and_a_rare_one_a_warning(tmp_path):
    spec = InputSpec((number("x"),), integer("label"))
    rows = np.random.default_rng(0).normal(size=2000)
    train, evaluation = (
        "".join(f"{value},{label}\n" for value, label in zip(part, classes, strict=True))
        for part, classes in (
            (rows[:1500], [0] * 790 + [1] * 705 + [2] * 5),
            (rows[1500:], [0] * 260 + [1] * 238 + [7] * 2),
        )
    )
    (tmp_path / "train.csv").write_text(train)
    (tmp_path / "eval.csv").write_text(evaluation)
    report = check.perform(spec, [f"{tmp_path}/train.csv"], [f"{tmp_path}/eval.csv"])
    assert said(report, "ERROR") == ["label label: 7 in eval, in no row of train; expected classes that are trained on"]
    assert said(report, "WARNING") == [
        "label label: 2 in 5 rows, 0 in 790; expected each class at least 1% as often as the most frequent one",
        "label label: 7 in 2 rows, 0 in 260; expected each class at least 1% as often as the most frequent one",
    ]


def test_of_a_large_vocabulary_a_few_words_are_named_and_the_others_counted(tmp_path):
    towns = category("town", tuple(f"town {i}" for i in range(5000)))
    spec = InputSpec((number("x"), dataclasses.replace(towns, name="home")), towns)
    for name in ("train", "eval"):
        rows = (f"{i},{'town 3' if i else 'Atlantis'},town {i % 2}\n" for i in range(100))
        (tmp_path / f"{name}.csv").write_text("".join(rows))
    report = check.perform(spec, [f"{tmp_path}/train.csv"], [f"{tmp_path}/eval.csv"])
    rare = said(report, "WARNING", "labels")
    assert len(rare) == checks.SHOWN_CLASSES + 1
    assert rare[0].startswith("label town: town 2 in 0 rows, town 0 in 50; ")
    assert rare[-1].startswith("label town: 4,978 more of 5,000 classes are as rare; ")
    (unknown,) = said(report, "WARNING", "vocabulary")
    assert unknown.endswith("'town 18', 'town 19' and 4,980 more")


def test_classes_of_many_digits_are_told_apart(tmp_path):
    spec = InputSpec((number("x"),), integer("store"))
    for name, last in (("train", 1), ("eval", 2)):
        (tmp_path / f"{name}.csv").write_text("".join(f"{i},2017100{i % 2 * last}\n" for i in range(100)))
    report = check.perform(spec, [f"{tmp_path}/train.csv"], [f"{tmp_path}/eval.csv"])
    assert checks.classes(spec, report.statistics["train"]) == {"20171000": 50, "20171001": 50}
    assert said(report, "ERROR", "labels") == [
        "label store: 20171002 in eval, in no row of train; expected classes that are trained on"
    ]


def test_a_word_of_the_label_that_no_row_has_is_a_warning(tmp_path):
    spec = InputSpec((number("x"),), category("kind", ("a", "b", "c")))
    for name, start in (("train", 0), ("eval", 100)):
        (tmp_path / f"{name}.csv").write_text("".join(f"{i},{'ab'[i % 2]}\n" for i in range(start, start + 100)))
    report = check.perform(spec, [f"{tmp_path}/train.csv"], [f"{tmp_path}/eval.csv"])
    texts = said(report, "WARNING", "labels", "train, eval")
    assert [text.partition(";")[0] for text in texts] == ["label kind: c in 0 rows, a in 50"]


def test_the_command_says_it_in_one_json_object_and_exits_with_0_on_warnings(births, call):
    code, out, err = call("--experiment", "babyweight", "--data-dir", births)
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["message"] == "1,600 rows of train and 400 rows of eval: 0 errors, 0 warnings"
    assert (found["severity"], found["errors"], found["warnings"]) == ("INFO", 0, 0)
    assert found["train"]["rows"] == 1600
    assert len(found["train"]["files"]) == 4
    assert found["eval"]["columns"]["mother_age"]["mean"] == pytest.approx(27.3, abs=1)
    assert found["drift"]["mother_age"] < 0.1


def test_it_exits_with_0_on_a_warning_and_with_1_on_an_error(lines, tmp_path, call):
    (tmp_path / "eval.csv").write_text("\n".join(lines["eval"]))
    words = [
        "--experiment",
        "babyweight",
        "--train-files",
        tmp_path / "train.csv",
        "--eval-files",
        tmp_path / "eval.csv",
    ]
    for value, expected in (("Martian", (0, "WARNING", 0, 1)), ("Martian,", (1, "ERROR", 1, 0))):
        (tmp_path / "train.csv").write_text("\n".join(with_cells(lines["train"], "mother_race", [value])))
        code, out, _ = call(*words)
        found = json.loads(out)
        assert (code, found["severity"], found["errors"], found["warnings"]) == expected
        (finding,) = [finding for finding in found["findings"] if finding["severity"] != "INFO"]
        assert finding["severity"] == expected[1]
        assert finding.keys() == {"severity", "check", "data", "thing", "value", "expected"}


def test_without_files_the_sample_data_is_made_and_checked(tmp_path, monkeypatch, call):
    monkeypatch.chdir(tmp_path)
    code, out, err = call("--experiment", "babyweight")
    assert (code, err) == (0, "making sample data in data/babyweight\n")
    found = json.loads(out)
    assert found["message"] == "30,000 rows of train and 7,500 rows of eval: 0 errors, 0 warnings"


def test_the_columns_of_a_module_are_its_spec_or_the_only_ones_it_has():
    first, second = InputSpec((number("x"),), number("y")), InputSpec((number("x"),), number("z"))
    module = ModuleType("own")
    assert options.spec_of(module) is None
    module.BIRTHS = first
    assert options.spec_of(module) is first
    module.OTHERS = second
    assert options.spec_of(module) is None
    module.SPEC = second
    assert options.spec_of(module) is second


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--experiment", "babyweight", "--train-files", "no", "--eval-files", "no"], "no: no such file; expected"),
        (["--experiment", "babyweight", "--train-files", "no"], "--eval-files: not given; expected both"),
        (["--experiment", "babywait"], "--experiment: 'babywait' cannot be imported; expected"),
        (
            ["--experiment", "tests.dropout_dataset_experiment"],
            "--experiment: 'tests.dropout_dataset_experiment' has no",
        ),
        (["--experiment", "babyweight", "--format", "html"], "--format: invalid choice: 'html'"),
        ([], "the following arguments are required: --experiment"),
    ],
)
def test_bad_usage_is_one_line_and_2(call, words, line):
    code, out, err = call(*words)
    assert (code, out) == (2, "")
    assert err.startswith(f"trainer.data: error: {line}")
    assert err.count("\n") == 1


def test_an_experiment_of_ones_own_is_checked_too(flowers, call):
    code, out, _ = call("--experiment", "tests.iris_experiment", "--data-dir", flowers)
    found = json.loads(out)
    assert code == 0
    assert found["train"]["labels"].keys() == {"setosa", "versicolor", "virginica"}
    assert sum(found["train"]["labels"].values()) == 240


def test_files_in_a_bucket_are_checked_as_those_of_a_disk(gcs, lines, births, call):
    for path in sorted(Path(births).glob("*.csv*")):
        content = path.read_bytes().replace(b",39.0,", b",290.0,", 1)
        paths.write_bytes(f"{gcs}/births/{path.name}", content)
    code, out, _ = call("--experiment", "babyweight", "--data-dir", f"{gcs}/births")
    found = json.loads(out)
    assert code == 1
    assert {finding["thing"] for finding in found["findings"] if finding["severity"] == "ERROR"} == {
        "column gestation_weeks"
    }
    assert found["train"]["files"][0].startswith(f"{gcs}/births/train.csv-0000")


def test_the_table_has_the_columns_and_the_findings(lines, tmp_path, call):
    (tmp_path / "train.csv").write_text("\n".join(with_cells(lines["train"], "mother_age", ["200"])))
    (tmp_path / "eval.csv").write_text("\n".join(lines["eval"]))
    code, out, _ = call(
        *("--experiment", "babyweight", "--format", "table"),
        *("--train-files", tmp_path / "train.csv", "--eval-files", tmp_path / "eval.csv"),
    )
    assert code == 1
    assert "babyweight: 1,600 rows of train and 400 rows of eval: 1 error, 0 warnings" in out
    assert all(feature.name in out for feature in babyweight.SPEC.read)
    assert "True 5" in out
    words = " ".join(out.split())
    assert "ERROR train: column mother_age: 1 of 1,600 (0.1%) values are beyond, up to 200 expected at most 70" in words


def test_tensorflow_is_not_imported(births):
    code = (
        "import sys; from trainer import data\n"
        f"assert data.main(['check', '--experiment', 'babyweight', '--data-dir', {births!r}]) == 0\n"
        "sys.exit(bool({'tensorflow', 'keras', 'apache_beam'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_memory_does_not_grow_with_the_data(lines, tmp_path):
    """Ten times the rows take the same memory, but for 8 bytes a row until they are moved to the disk."""
    shuffled = random.Random(0)
    code = (
        "import sys, resource; from trainer import data\n"
        "from trainer.quality import duplicates; duplicates.RUN_HASHES = 50_000\n"
        "words = ['--train-files', sys.argv[1], '--eval-files', sys.argv[2]]\n"
        "data.main(['check', '--experiment', 'babyweight', *words])\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    (tmp_path / "eval.csv").write_text("\n".join(lines["eval"]))
    peaks = []
    for times in (60, 600):
        path = tmp_path / f"train-{times}.csv"
        with open(path, "w") as file:
            for _ in range(times):
                shuffled.shuffle(lines["train"])
                file.write("".join(f"{line}\n" for line in lines["train"]))
        done = subprocess.run(
            [sys.executable, "-c", code, str(path), str(tmp_path / "eval.csv")],
            **{"cwd": ROOT, "capture_output": True, "text": True, "timeout": 120},
        )
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout.splitlines()[-1]))
    assert peaks[1] - peaks[0] < 40_000, peaks  # KiB; the larger file has 90 MiB more


def test_vectors_and_pixels_in_parquet_are_checked_by_their_values(tmp_path):
    spec = InputSpec((vector("sizes", 3), pixels("image", 4)), number("y"))
    random = np.random.default_rng(0)
    for side, rows, middle in (("train", 400, 0.0), ("eval", 200, 2.0)):
        sizes = [list(row) for row in random.normal(middle, 1, (rows, 3))]
        images = [bytes(row) for row in random.integers(0, 256, (rows, 4)).astype(np.uint8)]
        if side == "train":
            sizes[5], images[6] = [1.0, 2.0], b"abc"
            images[7] = b"\7\7\7\7"
        columns = {"sizes": pa.array(sizes, pa.list_(pa.float64())), "image": images, "y": random.normal(size=rows)}
        pq.write_table(pa.table(columns), tmp_path / f"{side}.parquet")
    report = check.perform(spec, [f"{tmp_path}/train.parquet"], [f"{tmp_path}/eval.parquet"])
    sizes, image, blank, drift = said(report)
    assert sizes.startswith("column sizes: 1 of 400 (0.2%) rows cannot be trained on; the first: ")
    assert "train.parquet: row 6: column sizes: 2 values, expected 3" in sizes
    assert "train.parquet: row 7: column image: 3 bytes, expected 4" in image
    assert blank.startswith("column image: 1 of 398 (0.3%) images have one colour")
    assert drift.startswith("column sizes: mean ")
    assert report.statistics["train"].columns["sizes"].count == 3 * 398
