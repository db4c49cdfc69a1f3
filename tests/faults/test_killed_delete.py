"""DELETE, UPDATE and MERGE with deletion vectors, killed at each write: the rows are those of before or of
after, and the same statement then ends it."""
import os
import shutil
import subprocess

import pytest

from deletion_vectors import enable_vectors, vectors_added
from engines import read_with_polars

N_ROWS = 4000
STATEMENTS = {
    "delete": "DELETE FROM b.t WHERE id % 5 = 0",
    "update": "UPDATE b.t SET id = id + 10000 WHERE id % 5 = 0",
    "merge": "MERGE INTO b.t t USING (SELECT id, id + 10000 AS other FROM read_parquet('rows.parquet') "
             "WHERE id % 4 = 0) s ON t.id = s.id AND t.id % 3 = 0 WHEN MATCHED THEN DELETE "
             "WHEN NOT MATCHED THEN INSERT (id) VALUES (s.other)",
}


@pytest.fixture
def table(smelt, lake, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"id": pa.array(range(N_ROWS), pa.int64())}), tmp_path / "rows.parquet")
    smelt("sql", "--write", "CREATE TABLE b.t AS SELECT * FROM read_parquet('rows.parquet')", "--lake", lake)
    enable_vectors(lake / "b" / "t")
    return lake / "b" / "t"


def ids(table):
    return sorted(row["id"] for row in read_with_polars(table))


@pytest.mark.parametrize("name", STATEMENTS)
def test_killed_at_a_write(smelt, lake, table, tmp_path, name):
    command = ("sql", "--write", STATEMENTS[name], "--lake", lake)
    shutil.copytree(lake, tmp_path / "start")
    before = ids(table)
    smelt(*command)
    after = ids(table)
    assert after != before and [vector["storageType"] for vector in vectors_added(table)] == ["u"]
    n_killed = 0
    for k in range(1, 50):
        for kind in ("kill", "kill_after"):
            shutil.rmtree(lake)
            shutil.copytree(tmp_path / "start", lake)
            done = subprocess.run([smelt.path, *map(str, command)], capture_output=True, cwd=tmp_path,
                                  env={**os.environ, "SMELT_FAULT": f"at={k},kind={kind},writes=1"})
            if done.returncode == 0:
                break
            n_killed += 1
            smelt("table", "vacuum", table)  # completes what was begun
            if ids(table) == before:
                smelt(*command)
            assert ids(table) == after, (k, kind)
            smelt("table", "fsck", table, "--data")
        else:
            continue
        break
    assert 4 < n_killed < 98
