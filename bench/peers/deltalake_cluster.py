"""delta-rs: Z-order of the Delta table that is there, by the columns that are named."""

import sys

from common import table, timed
from deltalake import DeltaTable


def work():
    DeltaTable(table).optimize.z_order(sys.argv[3].split(","))


timed(work)
