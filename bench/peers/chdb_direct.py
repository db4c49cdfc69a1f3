"""chDB: logs to a gold Parquet file."""

from chdb_common import FILE_DATE, LOGS, gold, write
from common import out, timed

timed(lambda: write(gold(f"""(SELECT _source.Contract AS Contract, _source.AppName AS AppName,
    _source.TotalDuration AS TotalDuration, {FILE_DATE} AS Date FROM {LOGS})"""),
                    out / "gold.parquet"))
