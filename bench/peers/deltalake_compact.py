"""delta-rs: joins the small files of the Delta table that is there."""

from common import table, timed
from deltalake import DeltaTable


def work():
    DeltaTable(table).optimize.compact()


timed(work)
