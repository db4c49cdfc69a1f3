"""Polars: logs to a gold Delta table, streaming."""

from common import out, timed
from polars_common import gold, logs

timed(lambda: gold(logs()).write_delta(out))
