"""What BigQuery is asked, put to an emulator of it: bqemulator, where that is installed."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

import numpy as np
import pyarrow.csv
import pytest

from trainer import processes
from trainer.preprocessing import bigquery, births, fingerprint, raw
from trainer.samples import natality_table


EMULATOR = shutil.which("bqemulator")
KINDS = {raw.WHOLE: "INTEGER", raw.NUMBER: "FLOAT", raw.ANSWER: "BOOLEAN"}
DEADLINE_S = 200

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not EMULATOR, reason="bqemulator is not on the PATH"),
]


def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def client():
    """A client of an emulator."""
    from google.api_core.client_options import ClientOptions
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import bigquery

    rest = port()
    words = [EMULATOR, "start", "--rest-port", str(rest), "--grpc-port", str(port()), "--log-level", "error"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(words, preexec_fn=processes.dying_with_parent(), env=dict(os.environ), **quiet) as run:
        try:
            url, deadline = f"http://127.0.0.1:{rest}", time.monotonic() + DEADLINE_S
            while not answers(url):
                assert run.poll() is None, "bqemulator has ended"
                assert time.monotonic() < deadline, "bqemulator does not answer"
                time.sleep(0.1)
            options = ClientOptions(api_endpoint=url)
            with contextlib.closing(
                bigquery.Client(project="p", credentials=AnonymousCredentials(), client_options=options)
            ) as found:
                yield found
        finally:
            run.kill()


def answers(url):
    try:
        urllib.request.urlopen(f"{url}/bigquery/v2/projects/p/datasets", timeout=5).close()
    except urllib.error.HTTPError as error:
        error.close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def table(client, tmp_path_factory):
    """Raw births, and the name of the table that has them."""
    from google.cloud import bigquery

    rows = natality_table.draw(np.random.default_rng(4), 3000)
    file = tmp_path_factory.mktemp("bigquery") / "births.csv"
    pyarrow.csv.write_csv(rows, file)
    client.create_dataset("samples")
    schema = [bigquery.SchemaField(name, KINDS[kind]) for name, kind in raw.COLUMNS.items()]
    config = bigquery.LoadJobConfig(schema=schema, skip_leading_rows=1, source_format="CSV")
    with file.open("rb") as content:
        client.load_table_from_file(content, "p.samples.natality", job_config=config).result()
    return rows, "p.samples.natality"


def test_the_query_returns_the_births_that_we_keep_in_types_that_we_read(client, table):
    rows, name = table
    found = raw.of_rows([dict(row) for row in client.query(bigquery.query(name)).result()])
    order = [(column, "ascending") for column in raw.COLUMNS]
    assert found.sort_by(order).equals(births.kept(raw.typed(rows)).table.sort_by(order).combine_chunks())


def test_the_split_is_that_of_bigquery_s_own_words(client, table):
    _, name = table
    hashed = "FARM_FINGERPRINT(CONCAT(CAST(year AS STRING), CAST(month AS STRING)))"
    query = f"SELECT DISTINCT year, month, {hashed} AS hash, ABS(MOD({hashed}, 4)) AS remainder FROM `{name}`"
    months = list(client.query(query).result())
    assert len(months) > 96
    for month in months:
        text = f"{month.year}{month.month}"
        assert (fingerprint.of(text), fingerprint.remainder(text, 4)) == (month.hash, month.remainder)
