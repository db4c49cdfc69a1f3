"""chDB: parses the logs on one thread and counts the values of each of the nine columns."""

import chdb

from chdb_common import FILE_DATE, LOGS
from common import timed

timed(lambda: print(chdb.query(f"""SELECT least(count(_index), count(_type), count(_id),
    count(_score), count(_source.Contract), count(_source.Mac), count(_source.TotalDuration),
    count(_source.AppName), count({FILE_DATE})) FROM {LOGS} SETTINGS max_threads = 1""")))
