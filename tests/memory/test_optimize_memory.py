"""A table larger than the memory limit is optimized within it, whether rows are decoded or copied. Its
numbers are random, so that they do not compress: of other tables a row group takes less."""
import os

import deltalake
import pyarrow as pa
import pytest

LIMIT = {1: 96_000_000, 2: 128_000_000}  # by threads
FILES, ROWS, COLUMNS = 40, 100_000, 4


def numbers():
    return pa.Array.from_buffers(pa.int64(), ROWS, [None, pa.py_buffer(os.urandom(8 * ROWS))])


def optimize(smelt, uri, threads, *options):
    told = smelt.json("table", "optimize", uri, "--memory-limit", LIMIT[threads], "--threads", threads, "--json",
                      *options)
    assert told["peak_bytes"] <= LIMIT[threads]


def rows_of(smelt, uri):
    columns = ", ".join(f"count(c{i}), sum(c{i} % 1000), min(c{i}), max(c{i})" for i in range(COLUMNS))
    return smelt.sql(f"SELECT {columns} FROM '{uri}'")


@pytest.mark.parametrize("threads", sorted(LIMIT))
def test_a_table_larger_than_the_limit(smelt, lake, threads):
    uri = lake / "shop" / "orders"
    for _ in range(FILES):
        table = pa.table({f"c{i}": numbers() for i in range(COLUMNS)})
        deltalake.write_deltalake(str(uri), table, mode="append")
    assert sum(path.stat().st_size for path in uri.glob("*.parquet")) > 1.2 * LIMIT[threads]
    wanted = rows_of(smelt, uri)
    optimize(smelt, uri, threads, "--target-size", "30MB")
    assert rows_of(smelt, uri) == wanted
    n_files = len(deltalake.DeltaTable(str(uri)).file_uris())
    assert 4 <= n_files <= 6
    optimize(smelt, uri, threads)
    assert rows_of(smelt, uri) == wanted
    assert len(deltalake.DeltaTable(str(uri)).file_uris()) == 1
