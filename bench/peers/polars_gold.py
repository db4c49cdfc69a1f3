"""Polars: bronze Parquet to a gold Delta table, streaming."""

from common import out, source, timed
from polars_common import gold, pl

timed(lambda: gold(pl.scan_parquet(f"{source}/*.parquet")).write_delta(out))
