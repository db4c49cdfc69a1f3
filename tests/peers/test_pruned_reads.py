"""smelt reads files and tables of other writers with filters: what it skips by their statistics (in
the log, footers and page indexes) has no row that the filter wants (tests/edges.py)."""
import os
import random

import pytest

from edges import KINDS, files_of, predicates, wrong_filters

SEED = int(os.environ.get("SMELT_SEED", random.randrange(1 << 30)))


def arrow_type(name):
    import pyarrow as pa

    kind = KINDS[name][0]
    if kind.startswith("DECIMAL"):
        return pa.decimal128(*map(int, kind[8:-1].split(",")))
    return {"BOOLEAN": pa.bool_(), "TINYINT": pa.int8(), "SMALLINT": pa.int16(), "INTEGER": pa.int32(),
            "BIGINT": pa.int64(), "FLOAT": pa.float32(), "DOUBLE": pa.float64(), "VARCHAR": pa.string(),
            "DATE": pa.date32(), "TIMESTAMP": pa.timestamp("us"),
            "TIMESTAMPTZ": pa.timestamp("us", "UTC")}[kind]


def column(name, texts):
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = arrow_type(name)
    if name == "timestamptz":
        return pc.assume_timezone(pa.array(texts, pa.string()).cast(pa.timestamp("us")), "UTC")
    return pa.array(texts, pa.string()).cast(kind)


def files(name):
    """The rows of each file, as tables of id and x."""
    import pyarrow as pa

    n_rows, out = 0, []
    for texts in files_of(KINDS[name][1]):
        ids = pa.array(range(n_rows, n_rows + len(texts)), pa.int64())
        out.append(pa.table({"id": ids, "x": column(name, texts)}))
        n_rows += len(texts)
    return out


def wrong(smelt, source, name):
    kind, values = KINDS[name]
    literals = ["CAST('" + value.replace("'", "''") + f"' AS {kind})" for value in values]

    def query(sql):
        return [tuple(row.values()) for row in smelt.sql(sql)]
    return wrong_filters(query, source, predicates(literals))


@pytest.mark.parametrize("name", KINDS)
def test_of_delta_rs(smelt, tmp_path, name):
    """Its own statistics, a file a partition."""
    import deltalake
    import pyarrow as pa

    tables = [table.append_column("part", pa.array([i] * len(table), pa.int32()))
              for i, table in enumerate(files(name))]
    deltalake.write_deltalake(str(tmp_path / "t"), pa.concat_tables(tables), partition_by=["part"])
    assert len(deltalake.DeltaTable(str(tmp_path / "t")).file_uris()) == len(tables)
    assert wrong(smelt, f"delta_scan('{tmp_path}/t')", name) == []


@pytest.mark.parametrize("name", KINDS)
def test_of_delta_rs_out_of_footers(smelt, tmp_path, name):
    """Statistics that it makes of the footers of files that were there."""
    import deltalake
    import pyarrow.parquet as pq

    (tmp_path / "t").mkdir()
    for i, table in enumerate(files(name)):
        pq.write_table(table, tmp_path / f"t/{i:03}.parquet")
    deltalake.convert_to_deltalake(str(tmp_path / "t"))
    assert wrong(smelt, f"delta_scan('{tmp_path}/t')", name) == []


LAYOUTS = {
    "plain": {"use_dictionary": False, "data_page_version": "2.0"},
    "old": {"version": "1.0", "use_deprecated_int96_timestamps": True},
    "integers": {"store_decimal_as_integer": True, "coerce_timestamps": "us"},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", KINDS)
def test_of_pyarrow(smelt, tmp_path, name, layout):
    import pyarrow.parquet as pq

    for i, table in enumerate(files(name)):
        pq.write_table(table, tmp_path / f"{i:03}.parquet", **LAYOUTS[layout])
    assert wrong(smelt, f"read_parquet('{tmp_path}/*.parquet')", name) == []


@pytest.mark.parametrize("name", KINDS)
def test_pages_of_pyarrow(smelt, tmp_path, name):
    """A file of many pages with an index: runs of values and of NULL, at random."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    print(f"SMELT_SEED={SEED}")
    draw = random.Random(f"{SEED} {name}")
    values = KINDS[name][1] + [None, None]
    texts = []
    while len(texts) < 20_000:
        few = draw.sample(values, draw.randint(1, 3))
        texts += [draw.choice(few) for _ in range(draw.randint(1, 600))]
    ids = pa.array(range(len(texts)), pa.int64())
    pq.write_table(pa.table({"id": ids, "x": column(name, texts)}), tmp_path / "t.parquet",
                   write_page_index=True, data_page_size=64, write_batch_size=50,
                   row_group_size=draw.choice([3_000, 30_000]), use_dictionary=draw.random() < 0.5)
    assert wrong(smelt, f"read_parquet('{tmp_path}/t.parquet')", name) == []
