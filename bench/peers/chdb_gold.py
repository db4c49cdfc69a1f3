"""chDB: bronze Parquet to a gold Parquet file."""

from chdb_common import gold, write
from common import out, source, timed

timed(lambda: write(gold(f"file('{source}/*.parquet', Parquet)"), out / "gold.parquet"))
