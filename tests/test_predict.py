"""`python -m trainer.predict`, from its arguments to its output."""

import gzip
import io
import json
import os
import subprocess
import sys

import pytest
from test_serving_model import place, write_model

from trainer import predict
from trainer.errors import RunError, UsageError
from trainer.prediction.table import Table
from trainer.settings import command


ROWS = "7.5,True,26,k1\n7.1,False,29.0,k2\n6.0,Unknown,,k3\n"  # the last age is missing: the model has its own
ANSWERS = [{"key": "k1", "outputs": 14.0}, {"key": "k2", "outputs": 16.5}, {"key": "k3", "outputs": 13.5}]


@pytest.fixture
def run(job_dir, capsys):
    """Run the command on the job dir; gives its standard output."""

    def call(*arguments):
        assert predict.main(["--model-dir", job_dir, *map(str, arguments)]) == 0
        return capsys.readouterr().out

    return call


def write(path, text):
    path.write_text(text)
    return path


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def give_stdin(monkeypatch, text):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


INSTANCES = '{"is_male": "True", "mother_age": 26}\n{"is_male": "False", "mother_age": 29.0}\n'


def test_json_instances_give_one_line_each_in_order(run, tmp_path):
    assert run("--json-instances", write(tmp_path / "f", INSTANCES)) == '{"outputs": 14.0}\n{"outputs": 16.5}\n'


def test_a_large_file_goes_through_the_model_in_parts(run, tmp_path):
    file = write(tmp_path / "f", "".join(f"{n}\n" for n in range(7)))
    answers = lines(run("--json-instances", file, "--signature-name", "total", "--batch-size", 3))
    assert answers == [{"y": 3.0}, {"y": 12.0}, {"y": 6.0}]  # one answer a call shows the calls


def test_an_instance_of_a_later_part_is_named_by_its_place_in_the_file(run, tmp_path):
    file = write(tmp_path / "f", '1\n2\n3\n"x"\n')
    with pytest.raises(RunError, match=r'instances\[3\]\.x: "x": expected a number'):
        run("--json-instances", file, "--signature-name", "total", "--batch-size", 2)


def test_a_request_is_one_call_whatever_the_batch_size(run, tmp_path):
    file = write(tmp_path / "f", '{"instances": [1, 2, 3], "signature_name": "total"}')
    assert lines(run("--json-request", file, "--batch-size", 1)) == [{"y": 6.0}]


def test_the_flag_for_the_signature_wins_over_the_request(run, tmp_path):
    file = write(tmp_path / "f", '{"instances": [1], "signature_name": "nothing"}')
    assert lines(run("--json-request", file, "--signature-name", "total")) == [{"y": 1.0}]


@pytest.mark.parametrize(
    ("flag", "text"),
    [
        ("--json-instances", INSTANCES),
        ("--json-request", '{"instances": [' + ",".join(INSTANCES.splitlines()) + "]}"),
        ("--csv", "is_male,mother_age\nTrue,26\nFalse,29\n"),
    ],
)
def test_a_dash_is_standard_input(run, monkeypatch, flag, text):
    give_stdin(monkeypatch, text)
    assert lines(run(flag, "-")) == [{"outputs": 14.0}, {"outputs": 16.5}]


@pytest.mark.parametrize(
    ("flag", "text", "expected"),
    [
        ("--json-instances", "1\n\n2\n", "f: line 2: empty; expected one instance"),
        ("--json-instances", "1\n\n", "f: line 2: empty; expected one instance"),
        ("--json-instances", "", "f: no instances; expected one"),
        ("--json-instances", "1\n{'a': 1}\n", "f: line 2: \"{'a': 1}\": expected JSON"),
        ("--json-instances", "[" * 100_000, "f: line 1: "),
        ("--json-request", "{", 'f: "{": expected JSON'),
        ("--json-request", '{"instance": []}', 'expected an object with the key "instances"'),
        ("--json-request", '{"instances": 3}', "instances: 3: expected a list"),
        ("--json-request", '{"instances": []}', "instances: []: expected a list with at least one instance"),
    ],
)
def test_a_file_without_instances_fails_in_one_line(run, tmp_path, flag, text, expected):
    with pytest.raises(RunError) as error:
        run(flag, write(tmp_path / "f", text))
    assert expected in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    assert error.value.exit_code == 1


def test_a_file_that_is_not_there_is_named(run, tmp_path):
    for flag in ("--json-instances", "--json-request", "--csv"):
        with pytest.raises(RunError, match=r"nowhere: no such file"):
            run(flag, tmp_path / "nowhere")


def test_a_directory_without_an_export_is_bad_usage(tmp_path):
    with pytest.raises(UsageError, match="no export"):
        predict.main(["--model-dir", str(tmp_path), "--json-instances", "-"])


@pytest.mark.parametrize(
    "arguments", [[], ["--json-instances", "a", "--csv", "b"], ["--csv", "a", "--batch-size", "0"], ["--what"]]
)
def test_arguments_that_make_no_sense_are_bad_usage(arguments):
    with pytest.raises(UsageError, match="--"):
        predict.main(["--model-dir", "d", *arguments])


def test_every_flag_may_be_written_with_underscores(job_dir, tmp_path, capsys):
    file = write(tmp_path / "f", INSTANCES)
    argv = ["--model_dir", job_dir, "--json_instances", str(file)]
    assert command.run(predict.main, prog="trainer.predict", argv=argv) == 0
    assert lines(capsys.readouterr().out) == [{"outputs": 14.0}, {"outputs": 16.5}]


def test_a_wrong_instance_is_one_line_on_stderr_and_nothing_on_stdout(job_dir, tmp_path, capsys):
    file = write(tmp_path / "f", '{"is_male": true, "mother_age": 26}\n')
    argv = ["--model-dir", job_dir, "--json-instances", str(file)]
    assert command.run(predict.main, prog="trainer.predict", argv=argv) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        'trainer.predict: error: Invalid inputs: instances[0].is_male: true: expected a string, as "True" '
        "(Error code: 1)\n"
    )


def test_a_damaged_export_is_passed_over_with_a_warning_on_stderr(tmp_path, capsys):
    write_model(str(tmp_path / "model"))
    place(str(tmp_path / "model"), tmp_path / "export" / "best" / "1500000000")
    damaged = place(str(tmp_path / "model"), tmp_path / "export" / "best" / "1500000001")
    os.unlink(os.path.join(damaged, "saved_model.pb"))
    open(os.path.join(damaged, "saved_model.pb"), "wb").close()
    predict.main(["--model-dir", str(tmp_path), "--json-instances", str(write(tmp_path / "f", INSTANCES))])
    captured = capsys.readouterr()
    assert captured.err.startswith(f"WARNING: {damaged}/saved_model.pb: 0 bytes")
    assert lines(captured.out) == [{"outputs": 14.0}, {"outputs": 16.5}]


# CSV


def test_rows_in_the_columns_of_the_training_file_are_predicted_with_their_key(run, tmp_path):
    assert lines(run("--csv", write(tmp_path / "f.csv", ROWS))) == ANSWERS


def test_a_header_says_which_column_is_which(run, tmp_path):
    text = "mother_age,key,more,is_male\n26,k1,x,True\n29,k2,y,False\n,k3,z,?\n"
    assert lines(run("--csv", write(tmp_path / "f.csv", text))) == ANSWERS


def test_a_header_in_the_training_order_is_not_a_row(run, tmp_path):
    text = "\ufeffweight_pounds,is_male,mother_age,key\n" + ROWS
    assert lines(run("--csv", write(tmp_path / "f.csv", text))) == ANSWERS


def test_rows_without_a_key_column_have_no_key(run, tmp_path):
    file = write(tmp_path / "f.csv", "is_male,mother_age\nTrue,26\n")
    assert lines(run("--csv", file)) == [{"outputs": 14.0}]


def test_a_key_that_the_signature_returns_is_left_to_it(run, tmp_path):
    file = write(tmp_path / "f.csv", "key,age\na,2\n")
    assert list(lines(run("--csv", file, "--signature-name", "keyed"))[0].items()) == [("key", "a"), ("outputs", 1.0)]


def test_an_input_of_lists_of_one_takes_a_column(run, tmp_path):
    file = write(tmp_path / "f.csv", "x\n1.5\n 2\n")
    answers = lines(run("--csv", file, "--signature-name", "column"))
    assert answers == [{"predictions": [3.0]}, {"predictions": [4.0]}]


def test_all_files_of_a_glob_are_read_in_order_compressed_or_not(run, tmp_path):
    first, second, third = ROWS.splitlines(keepends=True)
    write(tmp_path / "f.csv-0", first)
    (tmp_path / "f.csv-1.gz").write_bytes(gzip.compress((second + third).encode()))
    assert lines(run("--csv", tmp_path / "f.csv-*")) == ANSWERS


def test_many_rows_come_out_in_order_whatever_the_batch_size(run, tmp_path):
    ages = [n % 100 for n in range(5000)]
    file = write(tmp_path / "f.csv", "".join(f"0,True,{age},{n}\n" for n, age in enumerate(ages)))
    answers = lines(run("--csv", file, "--batch-size", 999))
    assert answers == [{"key": str(n), "outputs": 1 + age / 2} for n, age in enumerate(ages)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0,True,26,k\n0,True,old,k\n", 'row 2: column mother_age: "old": expected a number'),
        ("is_male,mother_age\nTrue,26\nTrue,old\n", 'row 3: column mother_age: "old": expected a number'),
        ("0,True,26,k\n0,True\n", "Row #2: Expected 4 columns, got 2"),
        ("True,26\n", "expected the columns weight_pounds, is_male, mother_age, key"),
        ("is_male,age\nTrue,26\n", "the header lacks the column mother_age; it has is_male, age"),
        ("", "no rows; expected"),
        ("is_male,mother_age\n", "no rows; expected"),
    ],
)
def test_rows_that_cannot_be_used_fail_in_one_line(run, tmp_path, text, expected):
    file = write(tmp_path / "f.csv", text)
    with pytest.raises(RunError) as error:
        run("--csv", file)
    assert str(error.value).startswith(f"{file}: ")
    assert expected in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_a_bad_row_far_into_a_file_is_counted_from_its_start(run, tmp_path):
    note = "x" * 100_000  # a hundred rows are more than two blocks
    text = "is_male,mother_age,note\n" + f"True,26,{note}\n" * 99 + f"True,old,{note}\n"
    with pytest.raises(RunError, match='row 101: column mother_age: "old": expected a number'):
        run("--csv", write(tmp_path / "f.csv", text))


def test_a_missing_number_without_a_value_of_the_model_is_refused(run, tmp_path):
    with pytest.raises(RunError, match='row 2: column x: "": expected a number'):
        run("--csv", write(tmp_path / "f.csv", 'x\n""\n'), "--signature-name", "column")


def test_rows_without_a_header_need_an_export_that_names_the_columns(run, tmp_path):
    with pytest.raises(UsageError, match="expected a header with the columns x"):
        run("--csv", write(tmp_path / "f.csv", "1\n"), "--signature-name", "column")


def test_an_input_of_several_values_cannot_come_from_csv(run, tmp_path):
    with pytest.raises(UsageError, match=r"input inputs has the shape \[4\]"):
        run("--csv", write(tmp_path / "f.csv", ROWS), "--signature-name", "image")


def test_a_cut_gzip_file_is_named(run, tmp_path):
    whole = gzip.compress(os.urandom(1000).hex().encode())
    (tmp_path / "f.csv.gz").write_bytes(whole[:-20])
    with pytest.raises(RunError, match=r"f\.csv\.gz: not a whole gzip file"):
        run("--csv", tmp_path / "f.csv.gz")


# Output


def test_output_is_written_to_a_file_as_json(run, tmp_path):
    assert run("--csv", write(tmp_path / "f.csv", ROWS), "--output", tmp_path / "new" / "out.json") == ""
    assert lines((tmp_path / "new" / "out.json").read_text()) == ANSWERS


def test_a_failure_leaves_the_old_output_as_it_was(run, tmp_path):
    output = write(tmp_path / "out.json", "before")
    file = write(tmp_path / "f.csv", ROWS + "0,True,old,k\n")
    with pytest.raises(RunError):
        run("--csv", file, "--output", output, "--batch-size", 1)
    assert output.read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.csv", "out.json"]


def test_a_table_has_the_sorted_keys_in_capitals(run, tmp_path):
    file = write(tmp_path / "f", "[0, 1, 0.5, 0]\n[1, 0, 0, 0]\n")
    assert run("--json-instances", file, "--signature-name", "image", "--format", "table") == (
        "CLASSES  PROBABILITIES\n1        [0.0, 1.0, 0.5, 0.0]\n0        [1.0, 0.0, 0.0, 0.0]\n"
    )


def test_a_terminal_gets_a_table_unless_json_is_asked_for(run, tmp_path, monkeypatch):
    file = write(tmp_path / "f", INSTANCES)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert run("--json-instances", file) == "OUTPUTS\n14.0\n16.5\n"
    assert run("--json-instances", file, "--format", "json") == '{"outputs": 14.0}\n{"outputs": 16.5}\n'


def test_predictions_that_are_no_dicts_have_no_heading():
    assert Table().lines([1.5, "word", [1, 2]]) == ["1.5", "word", "[1, 2]"]


def test_a_table_in_parts_has_one_heading_and_never_narrows():
    table = Table()
    assert table.lines([{"b": "long", "a": 1}]) == ["A  B", "1  long"]
    assert table.lines([{"a": 100, "b": "x"}, {"a": 2, "b": "y"}]) == ["100  x", "2    y"]


# As a process


def test_help_answers_without_tensorflow():
    code = (
        "import sys\nfrom trainer import predict\n"
        "try: predict.main(['--help'])\nfinally: assert 'tensorflow' not in sys.modules, 'imported'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "--json-instances" in done.stdout


def test_a_process_writes_predictions_and_nothing_else(job_dir, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "trainer.predict", "--model-dir", job_dir, "--json-instances", "-"],
        input=INSTANCES, capture_output=True, text=True, timeout=120, check=False,
        env={key: value for key, value in os.environ.items() if not key.startswith("TF_")},
    )  # fmt: skip
    assert (done.returncode, done.stderr, lines(done.stdout)) == (0, "", [{"outputs": 14.0}, {"outputs": 16.5}])
