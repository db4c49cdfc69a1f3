"""`smelt table optimize` that is killed at any call to the store, or whose store fails at it: the table
reads the same, nothing is left behind by a failure, and the next run ends its work."""
import shutil

import deltalake
import pyarrow as pa
import pytest


def rows_of(uri):
    return deltalake.DeltaTable(str(uri)).to_pyarrow_table()["id"].to_pylist()


@pytest.fixture
def table(lake):
    uri = lake / "shop" / "orders"
    for n in range(4):
        deltalake.write_deltalake(str(uri), pa.table({"id": [n, n + 10]}), mode="append")
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
    return {path.name for path in table.glob("*.parquet")} - named


def end_it(program, table, wanted, k):
    program("table", "optimize", table)
    assert sorted(rows_of(table)) == wanted, k
    assert len(deltalake.DeltaTable(str(table)).file_uris()) == 1, k
    assert program.json("table", "optimize", table, "--json")["commits"] == 0, k


@pytest.mark.parametrize("kind", ["kill", "kill_after"])
def test_kills(program, table, tmp_path, kind):
    wanted = sorted(rows_of(table))
    for k in range(1, 100):
        copy = copy_of(table, tmp_path)
        done = program("table", "optimize", copy, check=False, env={"SMELT_FAULT": f"at={k},kind={kind}"})
        assert sorted(rows_of(copy)) == wanted, k
        end_it(program, copy, wanted, k)
        if done.returncode == 0:
            break
        assert done.returncode == -9
    assert 8 < k < 99


@pytest.mark.parametrize("kind", ["error", "torn", "disk_full", "lost"])
def test_failing_calls(program, table, tmp_path, kind):
    wanted = sorted(rows_of(table))
    for k in range(1, 100):
        copy = copy_of(table, tmp_path)
        done = program("table", "optimize", copy, check=False,
                       env={"SMELT_FAULT": f"at={k},kind={kind}"})
        fired = done.returncode != 0 or "fault" in done.stderr
        assert sorted(rows_of(copy)) == wanted, k
        end_it(program, copy, wanted, k)
        if kind == "disk_full":  # where files nobody needs would hurt most
            assert not unnamed_files(copy), k
        if not fired and k > 30:
            break
    assert 8 < k < 99
