"""DuckDB: parses the logs on one thread and counts the values of each of the nine columns."""

from common import timed
from duckdb_common import FILE_DATE, LOGS, con


def work():
    con.execute("SET threads = 1")
    rows = con.execute(f"""SELECT count(_index), count(_type), count(_id), count(_score),
        count(_source.Contract), count(_source.Mac), count(_source.TotalDuration),
        count(_source.AppName), count({FILE_DATE}) FROM {LOGS}""").fetchone()
    print(min(rows))


timed(work)
