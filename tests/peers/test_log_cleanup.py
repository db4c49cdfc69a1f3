"""Old commits are deleted from a log behind a checkpoint, as the table's properties say. What is left
is a log that others read, and an earlier version says plainly that it is gone."""
import os
import time

import deltalake
import pyarrow
import pytest

from common import load_days

DAY = 86400


def make_table(uri, **configuration):
    schema = pyarrow.schema([("id", pyarrow.int64()), ("amount", pyarrow.int64()),
                             ("day", pyarrow.date32())])
    deltalake.write_deltalake(uri, pyarrow.Table.from_pylist([], schema),
                              configuration=configuration)


def names_of(log):
    """The versions of which the log has a commit, and those of which it has a checkpoint."""
    return (sorted(int(path.name[:20]) for path in log.glob("*.json")),
            sorted(int(path.name[:20]) for path in log.glob("*.checkpoint.parquet")))


def load_to(smelt, lake, last):
    while deltalake.DeltaTable(str(lake / "raw/t")).version() < last:
        version = deltalake.DeltaTable(str(lake / "raw/t")).version()
        load_days(smelt, lake, [{"id": version, "amount": version}])


@pytest.mark.parametrize("configuration, is_cut", [
    ({}, True),
    ({"delta.logRetentionDuration": "interval 60 days"}, False),
    ({"delta.enableExpiredLogCleanup": "false"}, False)])
def test_old_commits_go(smelt, lake, delta_peers, configuration, is_cut):
    log = lake / "raw/t/_delta_log"
    make_table(str(lake / "raw/t"), **{"delta.checkpointInterval": "3", **configuration})
    load_to(smelt, lake, 7)  # checkpoints at 3 and 6
    for path in log.glob("0*"):
        age = 40 if int(path.name[:20]) < 5 else 2
        os.utime(path, (time.time() - age * DAY,) * 2)
    load_to(smelt, lake, 9)
    first = 3 if is_cut else 0  # version 4 is old enough; opening it needs the checkpoint before it
    assert names_of(log) == (list(range(first, 10)), [3, 6, 9])
    for name, read in delta_peers.items():
        assert sorted(row["id"] for row in read(str(lake / "raw/t"))) == list(range(9)), name
    for version in range(10):
        done = smelt("sql", f"SELECT count(*) AS n FROM delta_scan('{lake}/raw/t', "
                     f"version => {version})", "--format", "csv", check=False)
        if version >= first:
            assert done.stdout == f"n\n{version}\n", done.stderr
        else:
            assert done.returncode == 1
            assert f"version {version} of table {lake}/raw/t is no longer in its log" in done.stderr
            assert "it begins at version 3" in done.stderr
