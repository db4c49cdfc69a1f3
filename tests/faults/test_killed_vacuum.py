"""A vacuum that is killed at any call to the store leaves a table that reads the same, and the next one
ends its work. Files of a publication that is open in the lake's journal are not deleted."""
import shutil

import deltalake
import pyarrow as pa
import pytest

from appended_lines import TABLES
from changed_logs import rows_by_deltalake, scenario_of

NOW = ["--retention", "0s", "--no-retention-check"]


def rows_of(uri):
    return sorted(deltalake.DeltaTable(str(uri)).to_pyarrow_table()["id"].to_pylist())


@pytest.fixture
def table(lake):
    uri = lake / "shop" / "orders"
    for n in range(4):
        deltalake.write_deltalake(str(uri), pa.table({"id": [n, n + 10]}),
                                  mode="overwrite" if n == 2 else "append")
    (uri / "orphan.parquet").write_text("x")
    return uri


@pytest.mark.parametrize("kind", ["kill", "kill_after"])
@pytest.mark.parametrize("lite", [False, True])
def test_kills(program, table, tmp_path, kind, lite):
    wanted = rows_of(table)
    options = [*NOW, *(["--lite"] if lite else [])]
    for k in range(1, 100):
        copy = tmp_path / "copies" / "shop" / "orders"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(table, copy)
        done = program("table", "vacuum", copy, *options, check=False,
                       env={"SMELT_FAULT": f"at={k},kind={kind}"})
        assert rows_of(copy) == wanted, k
        program("table", "vacuum", copy, *options)
        assert rows_of(copy) == wanted, k
        left = [path for path in copy.glob("*.parquet") if path.name != "orphan.parquet"]
        assert len(left) == len(deltalake.DeltaTable(str(copy)).file_uris()), k
        assert (copy / "orphan.parquet").exists() == lite, k
        if done.returncode == 0:
            break
        assert done.returncode == -9
    assert 8 < k < 99


def data_files(table):
    return {path.name for path in table.glob("*.parquet")}


def live_files(table):
    return {uri.rsplit("/", 1)[1] for uri in deltalake.DeltaTable(str(table)).file_uris()}


@pytest.mark.parametrize("dry", [False, True])
def test_an_open_publication(program, tmp_path, dry):
    """A run is killed after each write. What its journal names is there for the next run, and a dry run
    does not call it superfluous."""
    scenario = scenario_of("append", program, tmp_path)
    lake = tmp_path / "lake"
    n_spared = 0
    for k in range(1, 100):
        shutil.rmtree(lake, ignore_errors=True)
        shutil.copytree(scenario.start, lake)
        done = scenario.run(lake, f"at={k},kind=kill_after,writes=1", check=False)
        named = {}
        for table in TABLES:
            if not (lake / table / "_delta_log").exists():
                continue
            unseen = data_files(lake / table) - live_files(lake / table)
            told = program.json("table", "vacuum", lake / table, "--json", *NOW,
                                *(["--dry-run"] if dry else []))
            named[table] = set(told.get("names", []))
            n_spared += len(unseen - named[table]) if dry else 0
        scenario.run(lake)
        for table in TABLES:
            assert rows_by_deltalake(lake / table) == scenario.new[table], f"after {k}: {table}"
            assert not named.get(table, set()) & live_files(lake / table), f"after {k}: {table}"
        if done.returncode == 0:
            break
    assert 5 < k < 99
    assert n_spared > 0 or not dry
