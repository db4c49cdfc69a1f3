"""Polars: counts the rows of bronze whose Id comes more than once, over a series, as Patito's `unique` does."""

from common import source, timed
from polars_common import pl

timed(lambda: print(pl.read_parquet(f"{source}/*.parquet", columns=["Id"])["Id"].is_duplicated().sum()))
