"""Checkpoints that have the statistics of files as columns (stats_parsed) only, as Spark and Databricks write
them where delta.checkpoint.writeStatsAsJson is false: smelt leaves out files by them, and its next checkpoint
says what they said."""
import datetime
import decimal
import json

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

DAY = datetime.datetime(2022, 4, 1)
SCHEMA = pa.schema([
    ("id", pa.int64()), ("small", pa.int16()), ("s", pa.string()), ("d", pa.date32()),
    ("ts", pa.timestamp("us", "UTC")), ("local", pa.timestamp("us")), ("price", pa.decimal128(20, 3)),
    ("f", pa.float64()), ("yes", pa.bool_()), ("b", pa.binary()), ("none", pa.int32()),
    ("st", pa.struct([("a", pa.int32()), ("at", pa.timestamp("us", "UTC"))])), ("l", pa.list_(pa.int64()))])
BOUNDS = pa.struct([f for f in SCHEMA if f.name not in ("b", "l", "yes")])


def rows(n):
    at = DAY + datetime.timedelta(hours=n, milliseconds=5)
    return [{"id": n * 10 + i, "small": -n, "s": f"{n:02} ü " + "x" * 40 * i, "d": at.date(), "ts": at, "local": at,
             "price": decimal.Decimal(n * 1000 + i) / 8, "f": n + 0.1, "yes": i == 0, "b": b"\xff", "none": None,
             "st": {"a": n, "at": at}, "l": [n]} for i in range(3)]


def counts(schema):
    return pa.struct([(f.name, counts(f.type) if pa.types.is_struct(f.type) else pa.int64()) for f in schema])


def as_value(text, kind):
    """A bound of the JSON as the column has it."""
    if pa.types.is_struct(kind):
        return {f.name: as_value(text[f.name], f.type) for f in kind if f.name in text}
    if pa.types.is_timestamp(kind):
        return datetime.datetime.fromisoformat(text.replace("Z", "")).replace(tzinfo=None)
    if pa.types.is_date(kind):
        return datetime.date.fromisoformat(text)
    return decimal.Decimal(str(text)) if pa.types.is_decimal(kind) else text


def as_columns(path, int96):
    """Takes the JSON of the statistics out of a checkpoint, and puts their columns in; gives the JSON by file."""
    table = pq.read_table(path)
    said, parsed = {}, []
    kind = pa.struct([("numRecords", pa.int64()), ("minValues", BOUNDS), ("maxValues", BOUNDS),
                      ("nullCount", counts(SCHEMA))])
    adds = table["add"].to_pylist()
    for add in adds:
        stats = json.loads(add["stats"]) if add else None
        if add:
            said[add["path"]] = stats
        parsed.append(stats and {**stats, **{k: as_value(stats[k], BOUNDS) for k in ("minValues", "maxValues")}})
    old = table.schema.field("add").type
    fields = [f for f in old if f.name not in ("stats", "stats_parsed")] + [pa.field("stats_parsed", kind)]
    new = [add and {**{f.name: add[f.name] for f in fields[:-1]}, "stats_parsed": p} for add, p in zip(adds, parsed)]
    at = table.schema.get_field_index("add")
    table = table.set_column(at, "add", pa.array(new, pa.struct(fields)))
    pq.write_table(table, path, use_deprecated_int96_timestamps=int96)
    return said


def statistics(path):
    return {add["path"]: json.loads(add["stats"]) for add in pq.read_table(path)["add"].to_pylist() if add}


@pytest.mark.parametrize("int96", [False, True])
def test_they_are_read_and_kept(smelt, tmp_path, delta_peers, duckdb_delta, int96):
    uri = tmp_path / "t"
    for n in range(4):
        deltalake.write_deltalake(str(uri), pa.Table.from_pylist(rows(n), SCHEMA), mode="append")
    deltalake.DeltaTable(str(uri)).create_checkpoint()
    log = uri / "_delta_log"
    said = as_columns(log / f"{3:020}.checkpoint.parquet", int96)
    assert len(said) == 4
    for version in range(4):
        (log / f"{version:020}.json").unlink()

    assert smelt.json("table", "show", uri, "--json")["rows"] == 12
    smelt("table", "fsck", uri, "--data")
    for where, wanted in [("id = 21", 1), ("ts >= '2022-04-01 03:00:00+00'", 3), ("local < '2022-04-01 01:00:00'", 3),
                          ("price > 375", 2), ("s LIKE '01%'", 3), ("st.a = 2", 3), ("none IS NOT NULL", 0)]:
        assert smelt.sql(f"SELECT count(*) AS n FROM '{uri}' WHERE {where}")[0]["n"] == wanted, where
    told = smelt("explain", "--analyze", f"SELECT count(*) FROM '{uri}' WHERE id = 21").stdout
    assert "1 file, 1 morsel" in told, told

    smelt("sql", "--write", f"ALTER TABLE '{uri}' SET TBLPROPERTIES ('delta.checkpointInterval' = '1')")
    smelt("sql", "--write", f"DELETE FROM '{uri}' WHERE id >= 30")
    kept = statistics(sorted(log.glob("*.checkpoint.parquet"))[-1])
    assert len(kept) == 3
    for path, stats in kept.items():
        for which in ("minValues", "maxValues"):  # those of texts are cut otherwise, numbers have other digits
            assert as_value(stats[which], BOUNDS) == as_value(said[path][which], BOUNDS), path
            assert stats[which]["ts"].endswith("Z") and not stats[which]["local"].endswith("Z")
        assert stats["numRecords"] == 3 and stats["nullCount"] == said[path]["nullCount"]
    for name in ("deltalake", "polars"):
        assert sorted(r["id"] for r in delta_peers[name](uri)) == [n * 10 + i for n in range(3) for i in range(3)], name
    assert sorted(duckdb_delta.query(f"SELECT id FROM delta_scan('{uri}') WHERE ts > '2022-04-01 01:30:00'")) == [
        (20,), (21,), (22,)]


def test_bounds_that_not_all_readers_know(smelt, tmp_path):
    """Of a file with NaN the rows are known and no bounds; a bound that is missing stays so."""
    uri = tmp_path / "t"
    for n in range(2):
        deltalake.write_deltalake(str(uri), pa.Table.from_pylist(rows(n), SCHEMA), mode="append")
    deltalake.DeltaTable(str(uri)).create_checkpoint()
    log = uri / "_delta_log"
    path = log / f"{1:020}.checkpoint.parquet"
    as_columns(path, False)
    table = pq.read_table(path)
    adds = table["add"].to_pylist()
    [first, second] = [add for add in adds if add]
    first["stats_parsed"]["maxValues"]["f"] = float("nan")
    second["stats_parsed"]["maxValues"]["s"] = None
    at = table.schema.get_field_index("add")
    pq.write_table(table.set_column(at, "add", pa.array(adds, table.schema.field("add").type)), path)
    for version in range(2):
        (log / f"{version:020}.json").unlink()
    assert smelt.json("table", "show", uri, "--json")["rows"] == 6
    assert smelt.sql(f"SELECT count(*) AS n FROM '{uri}' WHERE f > 100")[0]["n"] == 0
    assert smelt.sql(f"SELECT count(*) AS n FROM '{uri}' WHERE s >= '01'")[0]["n"] == 3
    smelt("sql", "--write", f"ALTER TABLE '{uri}' SET TBLPROPERTIES ('delta.checkpointInterval' = '1')")
    smelt("sql", "--write", f"INSERT INTO '{uri}' (id) SELECT 7 AS id")
    kept = statistics(sorted(log.glob("*.checkpoint.parquet"))[-1])
    assert "maxValues" not in kept[first["path"]] and kept[first["path"]]["numRecords"] == 3
    most = kept[second["path"]]["maxValues"]
    assert "s" not in most and most["id"] == second["stats_parsed"]["maxValues"]["id"]
