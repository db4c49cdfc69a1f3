"""delta-rs: Z-order of the Delta table that is there."""

from common import out, timed
from deltalake import DeltaTable


def work():
    DeltaTable(str(out / "table")).optimize.z_order(["Date", "Contract"])


timed(work)
