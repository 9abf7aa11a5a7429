"""Raw births from BigQuery: the query of 2017, and the columns of its rows.

table = bigquery.table(["bigquery:publicdata.samples.natality"], ["--temp_location=gs://bucket/temp"])
rows = pipeline | beam.io.ReadFromBigQuery(query=bigquery.query(table), use_standard_sql=True)
"""

import re
from collections.abc import Sequence

from trainer.errors import UsageError
from trainer.preprocessing import births, raw


SCHEME = "bigquery:"
SCOPE = "https://www.googleapis.com/auth/bigquery"
TABLE = re.compile(r"[A-Za-z0-9:.\-]+\.\w+\.[\w\-]+", re.ASCII)


def table(inputs: Sequence[str], flags: Sequence[str]) -> str | None:
    """The table that an input names, None where all name files. `flags` are the pipeline's, which has to have a place
    in a bucket for the rows. Raises `UsageError` for what is no table, and for more than one input.
    """
    names = [name for name in inputs if name.startswith(SCHEME)]
    if not names:
        return None
    name = names[0].removeprefix(SCHEME)
    if not TABLE.fullmatch(name):
        raise UsageError(f"--input: {names[0]}: expected {SCHEME}PROJECT.DATASET.TABLE")
    if len(inputs) > 1:
        raise UsageError(f"--input: {names[0]}: a table is the only input; {len(inputs)} were given")
    if not any(flag.startswith("--temp_location") for flag in flags):
        raise UsageError(f"{names[0]}: its rows come through a bucket; expected -- --temp_location gs://BUCKET/PATH")
    return name


def check_credentials(table: str) -> None:
    """Raise `UsageError` where there are none: Beam's client would open a browser and wait."""
    from google.auth import exceptions

    from trainer.storage import credentials  # Google's packages take a while to import

    try:
        credentials.default([SCOPE])
    except exceptions.GoogleAuthError as error:
        raise UsageError(f"{SCHEME}{table}: {credentials.problem(error)}") from error


def query(table: str) -> str:
    """The raw columns of the rows that are kept, in standard SQL."""
    rules = " AND ".join(f"{name} > {least}" for name, least in births.ABOVE.items())
    return f"SELECT {', '.join(raw.COLUMNS)} FROM `{table}` WHERE {rules}"
