"""DuckDB: logs to a gold Parquet file in one scan."""

from common import out, timed
from duckdb_common import FILE_DATE, LOGS, con, gold


def work():
    con.execute(f"""COPY ({gold(f'''(SELECT _source.Contract AS Contract,
        _source.AppName AS AppName, _source.TotalDuration AS TotalDuration,
        {FILE_DATE} AS "Date" FROM {LOGS})''')})
      TO '{out}/gold.parquet' (FORMAT parquet, COMPRESSION zstd)""")


timed(work)
