"""`smelt table optimize` and `smelt table cluster` that are killed at any call to the store, or whose store
fails at it: the table reads the same, nothing is left behind by a failure, and the next run ends the
work."""
import shutil

import deltalake
import pyarrow as pa
import pytest


WORKS = {"optimize": ("optimize",), "cluster": ("cluster", "--by", "id,other")}


@pytest.fixture(params=WORKS)
def work(request, program):
    """Does the work on a table."""
    verb, *words = WORKS[request.param]
    return lambda table, **kwargs: program("table", verb, table, *words, **kwargs)


def rows_of(uri):
    return deltalake.DeltaTable(str(uri)).to_pyarrow_table()["id"].to_pylist()


@pytest.fixture(params=[1, 2], ids=["whole", "partitioned"])
def n_parts(request):
    """How many partitions the table has; 1: it is not partitioned."""
    return request.param


@pytest.fixture
def table(lake, n_parts):
    """Four files, as many of each partition."""
    uri = lake / "shop" / "orders"
    for n in range(4 // n_parts):
        rows = pa.table({"id": [n, n + 10], "other": ["x", f"y{n}"], "part": [0, 1]})
        deltalake.write_deltalake(str(uri), rows if n_parts > 1 else rows.drop_columns("part"), mode="append",
                                  partition_by=["part"] if n_parts > 1 else None)
    return uri


def copy_of(table, tmp_path):
    shutil.rmtree(tmp_path / "copies", ignore_errors=True)
    shutil.copytree(table.parent.parent, tmp_path / "copies")
    return tmp_path / "copies" / "shop" / "orders"


def unnamed_files(table):
    """Data files that no version names."""
    named = set()
    for version in range(deltalake.DeltaTable(str(table)).version() + 1):
        named |= {uri.rsplit("/", 1)[1] for uri in
                  deltalake.DeltaTable(str(table), version=version).file_uris()}
    return {path.name for path in table.rglob("*.parquet")} - named


def end_it(work, table, wanted, n_parts, k):
    work(table)
    assert sorted(rows_of(table)) == wanted, k
    done = deltalake.DeltaTable(str(table))
    assert len(done.file_uris()) == n_parts, k
    work(table)
    assert deltalake.DeltaTable(str(table)).version() == done.version(), k


@pytest.mark.parametrize("kind", ["kill", "kill_after"])
def test_kills(work, table, n_parts, tmp_path, kind):
    wanted = sorted(rows_of(table))
    for k in range(1, 100):
        copy = copy_of(table, tmp_path)
        done = work(copy, check=False, env={"SMELT_FAULT": f"at={k},kind={kind}"})
        assert sorted(rows_of(copy)) == wanted, k
        end_it(work, copy, wanted, n_parts, k)
        if done.returncode == 0:
            break
        assert done.returncode == -9
    assert 8 < k < 99


@pytest.mark.parametrize("kind", ["error", "torn", "disk_full", "lost"])
def test_failing_calls(work, table, n_parts, tmp_path, kind):
    wanted = sorted(rows_of(table))
    for k in range(1, 100):
        copy = copy_of(table, tmp_path)
        done = work(copy, check=False, env={"SMELT_FAULT": f"at={k},kind={kind}"})
        fired = done.returncode != 0 or "fault" in done.stderr
        assert sorted(rows_of(copy)) == wanted, k
        end_it(work, copy, wanted, n_parts, k)
        if kind == "disk_full":  # where files nobody needs would hurt most
            assert not unnamed_files(copy), k
        if not fired and k > 30:
            break
    assert 8 < k < 99
