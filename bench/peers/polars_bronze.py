"""Polars: logs to bronze Parquet with zstd, streaming."""

from common import out, timed
from polars_common import logs

timed(lambda: logs().sink_parquet(out / "bronze.parquet", compression="zstd", compression_level=1,
                                  engine="streaming"))
