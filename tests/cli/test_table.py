"""`smelt table show|history|files` on tables that delta-rs wrote."""
import pytest


@pytest.fixture
def table(lake):
    """Three versions: 50 rows, 20 more, then those of one day gone."""
    import deltalake
    import pyarrow as pa

    uri = lake / "shop" / "orders"
    for first, mode in ((0, "error"), (50, "append")):
        rows = range(first, first + (20 if first else 50))
        deltalake.write_deltalake(str(uri), pa.table({
            "id": pa.array(rows, pa.int64()), "price": pa.array([n / 4 for n in rows], pa.float64()),
            "where": pa.array([{"city": f"c{n}"} for n in rows]),
            "day": pa.array([f"d{n % 2}" for n in rows])}), mode=mode, partition_by=["day"])
    deltalake.DeltaTable(str(uri)).delete("day = 'd1'")
    return uri


def fields(text):
    """{name: rest of its first line}"""
    return {line.split()[0]: line[13:].strip() for line in text.splitlines() if not line.startswith(" ")}


def test_show(smelt, table):
    shown = smelt("table", "show", table).stdout
    told = fields(shown)
    assert (told["version"], told["rows"], told["partitioned"]) == ("2", "35", "day")
    assert told["files"].startswith("2, ")
    assert "id BIGINT" in shown and "price DOUBLE" in shown and "where STRUCT(city VARCHAR)" in shown


def test_show_of_a_version(smelt, table):
    assert [fields(smelt("table", "show", table, "--version", n).stdout)["rows"]
            for n in range(3)] == ["50", "70", "35"]


def test_history_is_newest_first(smelt, table):
    lines = smelt("table", "history", table).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["2", "1", "0"]
    assert "DELETE" in lines[0] and "WRITE" in lines[2]
    assert smelt("table", "history", table, "--limit", 1).stdout.splitlines() == lines[:1]
    assert smelt("table", "history", table, "--limit", 0).stdout == ""


def test_files(smelt, table):
    import deltalake

    found = smelt("table", "files", table).stdout.splitlines()
    wanted = deltalake.DeltaTable(str(table)).file_uris()
    assert sorted(line.split()[-1] for line in found) == sorted(
        uri[uri.index("day="):] for uri in wanted)
    assert len(smelt("table", "files", table, "--limit", 1).stdout.splitlines()) == 1


@pytest.mark.parametrize("verb", ["show", "files", "history"])
def test_no_table(smelt, tmp_path, verb):
    (tmp_path / "folder").mkdir()
    for name in ("folder", "nowhere"):
        done = smelt("table", verb, name, check=False)
        assert done.returncode == 1 and done.stdout == ""
        assert f"no Delta table in {name}" in done.stderr


def test_a_version_that_is_none(smelt, table):
    done = smelt("table", "show", table, "--version", 3, check=False)
    assert done.returncode == 1
    assert "no version 3" in done.stderr and "latest is 2" in done.stderr
    for text in ("-1", "x", ""):
        done = smelt("table", "show", table, f"--version={text}", check=False)
        assert done.returncode == 2, done.stderr
