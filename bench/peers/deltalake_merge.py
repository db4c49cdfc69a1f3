"""delta-rs: an upsert of the changes into the Delta table that is there."""

import pyarrow.parquet as pq
from common import source, table, timed
from deltalake import DeltaTable


def work():
    merge = DeltaTable(table).merge(pq.read_table(f"{source}/changes.parquet"), "t.id = s.id",
                                    source_alias="s", target_alias="t")
    merge.when_matched_update_all().when_not_matched_insert_all().execute()


timed(work)
