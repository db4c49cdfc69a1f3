"""Tables in MinIO between smelt and its peers: delta-rs, DuckDB and Polars read what smelt wrote
there (ClickHouse: test_clickhouse.py), and many writers of two kinds lose nothing."""
import threading

import pyarrow as pa
import pytest

import s3
from appended_lines import append_in_turn, write_pipeline
from customer360 import generate, log_line, run

TABLES = ["bronze/viewing_log", "silver/customer_viewing", "gold/customer360",
          "quarantine/viewing_log"]


@pytest.fixture(scope="module")
def server(minio):
    return minio


@pytest.fixture(scope="module")
def lake(program, server, tmp_path_factory):
    logs = generate(program, tmp_path_factory.mktemp("logs") / "logs", days=2, rows=5000, damage=0.02,
                    mixed=True, seed=31)
    run(program, "delta", logs.folder, "s3://lake/tables", env=server.env)
    return "s3://lake/tables"


def options(server):
    return {**server.env, "AWS_ALLOW_HTTP": "true"}


def in_order(rows):
    return sorted(tuple(str(value) for value in row) for row in rows)


def by_deltalake(server, uri, duckdb_delta):
    import deltalake
    table = deltalake.DeltaTable(uri, storage_options=options(server))
    found = pa.table(deltalake.QueryBuilder().register("t", table).execute("SELECT * FROM t").read_all())
    return found.column_names, [tuple(row.values()) for row in found.to_pylist()]


def by_polars(server, uri, duckdb_delta):
    import polars
    found = polars.read_delta(uri, storage_options=options(server))
    return found.columns, found.rows()


def by_duckdb(server, uri, duckdb_delta):
    endpoint = server.endpoint.removeprefix("http://")
    duckdb_delta.query(f"CREATE OR REPLACE SECRET one (TYPE S3, KEY_ID '{s3.KEY_ID}', SECRET "
                       f"'{s3.SECRET}', ENDPOINT '{endpoint}', URL_STYLE 'path', USE_SSL false)")
    return duckdb_delta.columns_and_rows(f"SELECT * FROM delta_scan('{uri}')")


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("peer", [by_deltalake, by_polars, by_duckdb], ids=lambda peer: peer.__name__)
def test_peers_read_the_same_rows(smelt, server, lake, duckdb_delta, peer, table):
    uri = f"{lake}/{table}"
    columns, rows = peer(server, uri, duckdb_delta)
    counted = ", ".join(f'count("{name}") AS n{i}' for i, name in enumerate(columns))
    here = smelt.sql(f"SELECT count(*) AS n, {counted} FROM delta_scan('{uri}')", env=server.env)
    assert list(here[0].values()) == [len(rows)] + [
        sum(row[i] is not None for row in rows) for i in range(len(columns))]
    key = {"gold/customer360": ["Contract", "TVDuration", "RFM"],
           "silver/customer_viewing": ["Contract"]}.get(table)
    if key:
        names = ", ".join(key)
        wanted = smelt.sql(f"SELECT {names} FROM delta_scan('{uri}')", env=server.env)
        at = [columns.index(name) for name in key]
        assert in_order([row[i] for i in at] for row in rows) == in_order(
            row.values() for row in wanted)


def append_by_deltalake(server, uri, n, failures):
    import deltalake
    from deltalake.exceptions import CommitFailedError
    for number in range(n):
        opened = deltalake.DeltaTable(uri, storage_options=options(server))
        schema = pa.schema(opened.schema().to_arrow())
        row = {"who": f"rs{number}", "seconds": number + 1}
        rows = pa.table({field.name: pa.array([row.get(field.name)], field.type) for field in schema})
        for _ in range(30):
            try:
                deltalake.write_deltalake(uri, rows, mode="append", storage_options=options(server))
                break
            except CommitFailedError:
                continue
        else:
            failures.append(f"rs{number}")


def crowd(program, server, folder, lake, n_runs):
    threads, failures, wanted = [], [], []
    for number, writer in enumerate(("north", "south")):
        pipeline = write_pipeline(folder / writer, writer, tasks=("load",))
        source = folder / f"{writer}-files"
        source.mkdir()
        for n in range(n_runs + 1):
            line = log_line(f"{writer}{n}", n + 1, number=n)
            (source / f"{writer}_2022040{number + 1}_{n:03}.json").write_text(line)
            wanted.append((f"{writer}{n}", n + 1))
        append_in_turn(program, pipeline, source, folder / f"{writer}-first", lake, 1, failures,
                       server.env)  # the table is there before the crowd comes
        threads.append(threading.Thread(target=append_in_turn, args=(
            program, pipeline, source, folder / f"{writer}-logs", lake, n_runs + 1, failures,
            server.env)))
    uri = f"{lake}/bronze/lines"
    threads.append(threading.Thread(target=append_by_deltalake, args=(server, uri, n_runs, failures)))
    wanted += [(f"rs{n}", n + 1) for n in range(n_runs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    import deltalake
    opened = deltalake.DeltaTable(uri, storage_options=options(server))
    query = deltalake.QueryBuilder().register("t", opened).execute("SELECT who, seconds FROM t")
    rows = pa.table(query.read_all()).to_pylist()
    assert sorted((row["who"], row["seconds"]) for row in rows) == sorted(wanted)
    # The first files again, in another folder, are those of before: two commits of books, without a row.
    assert opened.version() + 1 == 3 * n_runs + 2 + 2
    assert not [key for key in server.keys("lake") if "probe" in key]


def test_a_crowd_loses_no_row(program, server, tmp_path):
    crowd(program, server, tmp_path, "s3://lake/crowd", 6)


@pytest.mark.soak
def test_a_crowd_of_two_hundred_commits(program, server, tmp_path):
    crowd(program, server, tmp_path, "s3://lake/two-hundred", 66)
