"""chDB: logs to bronze Parquet with zstd."""

from chdb_common import FILE_DATE, LOGS, write
from common import out, timed

timed(lambda: write(f"""SELECT _index AS "Index", _type AS "Type", _id AS Id, _score AS Score,
    _source.AppName AS AppName, _source.Contract AS Contract, _source.Mac AS Mac,
    _source.TotalDuration AS TotalDuration, {FILE_DATE} AS Date FROM {LOGS}""",
                    out / "bronze.parquet"))
