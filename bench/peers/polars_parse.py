"""Polars: parses the logs on one thread and counts the values of each of the nine columns."""

import os

import common

common.THREADS = 1
from polars_common import logs, pl  # noqa: E402

assert os.environ["POLARS_MAX_THREADS"] == "1"
common.timed(lambda: print(min(logs().select(pl.all().count()).collect(engine="streaming").row(0))))
