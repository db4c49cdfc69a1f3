"""DuckDB: logs to bronze Parquet with zstd."""

from common import out, timed
from duckdb_common import FILE_DATE, LOGS, con


def work():
    con.execute(f"""COPY (SELECT _index AS "Index", _type AS "Type", _id AS Id, _score AS Score,
        _source.AppName AS AppName, _source.Contract AS Contract, _source.Mac AS Mac,
        _source.TotalDuration AS TotalDuration, {FILE_DATE} AS "Date" FROM {LOGS})
      TO '{out}/bronze.parquet' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)""")


timed(work)
