"""DuckDB: bronze Parquet to a gold Parquet file."""

from common import out, source, timed
from duckdb_common import con, gold


def work():
    con.execute(f"""COPY ({gold(f"read_parquet('{source}/*.parquet')")})
      TO '{out}/gold.parquet' (FORMAT parquet, COMPRESSION zstd)""")


timed(work)
