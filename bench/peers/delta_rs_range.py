"""delta-rs: opens a table and counts the rows of one range of ids, by its query engine."""

import sys

from deltalake import DeltaTable, QueryBuilder

from common import source, timed

first, last = sys.argv[3:]


def work():
    batches = QueryBuilder().register("t", DeltaTable(source)).execute(
        f"SELECT count(*) AS n FROM t WHERE id BETWEEN {first} AND {last}").read_all()
    print(batches["n"][0].as_py())


timed(work)
