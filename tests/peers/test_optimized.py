"""Tables whose files smelt joined, by other readers: the same rows; and other writers go on with them."""
import random

import deltalake
import polars as pl
import pyarrow as pa
import pytest


def new_rows(rng, n):
    return pa.table({
        "id": pa.array(rng.sample(range(10000), n), pa.int64()),
        "name": pa.array([rng.choice(["a", "b c", None]) for _ in range(n)], pa.string()),
        "tags": pa.array([rng.choice([None, [], ["x"], ["y", None]]) for _ in range(n)],
                         pa.list_(pa.string())),
        "place": pa.array([rng.choice([None, {"x": 1, "y": "z"}, {"x": None, "y": None}])
                           for _ in range(n)], pa.struct([("x", pa.int32()), ("y", pa.string())])),
    })


def write_some(uri, rng, n_versions):
    """Appends, overwrites of some rows, deletes, compactions by delta-rs."""
    for version in range(n_versions):
        what = rng.random() if version else 0
        if what < 0.6:
            deltalake.write_deltalake(str(uri), new_rows(rng, rng.choice([1, 7, 300])), mode="append")
        elif what < 0.7:
            deltalake.write_deltalake(str(uri), new_rows(rng, 5), mode="append", schema_mode="merge")
        elif what < 0.85:
            deltalake.DeltaTable(str(uri)).delete(f"id < {rng.randrange(500)}")
        elif what < 0.95:
            deltalake.DeltaTable(str(uri)).update(updates={"name": "'changed'"},
                                                    predicate=f"id > {rng.randrange(9000, 9999)}")
        else:
            deltalake.DeltaTable(str(uri)).optimize.compact()


def key(row):
    return repr(sorted(row.items()))


def by_smelt(smelt, uri):
    return smelt.sql(f"SELECT * FROM '{uri}'")


def assert_all_read(smelt, delta_peers, uri, wanted):
    for name, read in delta_peers.items():
        assert sorted(map(key, read(uri))) == wanted, name
    assert sorted(map(key, by_smelt(smelt, uri))) == wanted


@pytest.mark.parametrize("seed", range(6))
def test_peers_read_the_same(smelt, lake, delta_peers, seed):
    rng = random.Random(seed)
    uri = lake / "shop" / "orders"
    write_some(uri, rng, 10)
    wanted = sorted(map(key, delta_peers["deltalake"](uri)))
    in_order = by_smelt(smelt, uri)
    told = smelt.json("table", "optimize", uri, "--json", "--target-size", rng.choice(["4KB", "20KB", "1GB"]))
    assert_all_read(smelt, delta_peers, uri, wanted)
    assert by_smelt(smelt, uri) == in_order
    if told["commits"]:
        assert deltalake.DeltaTable(str(uri)).history(1)[0]["operation"] == "OPTIMIZE"
    # Others go on, with a checkpoint that they write; and smelt joins what they added.
    write_some_more(uri, rng)
    wanted = sorted(map(key, delta_peers["deltalake"](uri)))
    assert_all_read(smelt, delta_peers, uri, wanted)
    smelt("table", "optimize", uri)
    assert_all_read(smelt, delta_peers, uri, wanted)
    assert len(deltalake.DeltaTable(str(uri)).file_uris()) == 1


def write_some_more(uri, rng):
    deltalake.write_deltalake(str(uri), new_rows(rng, 9), mode="append")
    deltalake.DeltaTable(str(uri)).create_checkpoint()
    deltalake.write_deltalake(str(uri), new_rows(rng, 3), mode="append")
    deltalake.DeltaTable(str(uri)).delete("id < 700")


def test_statistics_of_joined_files(smelt, lake):
    uri = lake / "shop" / "orders"
    for first in (0, 100, 200):
        deltalake.write_deltalake(str(uri), pa.table({"id": [first, first + 9], "name": [None, "x"]}),
                                  mode="append")
    smelt("table", "optimize", uri)
    [file] = pa.table(deltalake.DeltaTable(str(uri)).get_add_actions(flatten=True)).to_pylist()
    assert (file["num_records"], file["min.id"], file["max.id"]) == (6, 0, 209)
    assert (file["null_count.name"], file["min.name"], file["max.name"]) == (3, "x", "x")
    assert pl.read_delta(str(uri)).filter(pl.col("id") > 150)["id"].to_list() == [200, 209]
