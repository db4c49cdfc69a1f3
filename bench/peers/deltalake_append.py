"""delta-rs: appends one more day to the Delta table that is there. Not timed: for all contestants."""

import pyarrow.parquet as pq
from common import source, table
from deltalake import write_deltalake

write_deltalake(table, pq.read_table(f"{source}/day.parquet"), mode="append")
