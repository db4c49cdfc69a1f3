"""Polars: counts the rows of bronze whose Id comes more than once. Over a frame of one column, which is twice as
fast as over a series."""

from common import source, timed
from polars_common import pl

timed(lambda: print(pl.read_parquet(f"{source}/*.parquet", columns=["Id"]).is_duplicated().sum()))
