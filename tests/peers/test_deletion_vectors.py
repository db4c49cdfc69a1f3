"""Tables with deletion vectors, of each storage type and each kind of Roaring container, over several
row groups, pages and partitions: the rows are those that are not deleted, and DuckDB reads the same
ones. Damaged vectors are refused. Those that Spark writes: test_spark.py."""
import json
import random
import struct
import uuid
import zlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

DIGITS = ("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
          ".-:+=^!/*?&<>()[]{}@%$#")
UUID = uuid.UUID("d2c639aa-8816-431a-aaf6-d3fe2512ff61")
VECTORS = f"deletion_vector_{UUID}.bin"


# ---- vectors ----------------------------------------------------------------------------------


def base85(data):
    data += bytes(-len(data) % 4)
    text = ""
    for at in range(0, len(data), 4):
        word = int.from_bytes(data[at:at + 4], "big")
        text += "".join(DIGITS[word // 85 ** k % 85] for k in (4, 3, 2, 1, 0))
    return text


def container(values, kind):
    if kind == "array":
        return struct.pack(f"<{len(values)}H", *values)
    if kind == "bitset":
        bits = bytearray(8192)
        for value in values:
            bits[value >> 3] |= 1 << (value & 7)
        return bytes(bits)
    runs = []
    for value in values:
        if runs and sum(runs[-1]) + 1 == value:
            runs[-1][1] += 1
        else:
            runs.append([value, 0])
    return struct.pack("<H", len(runs)) + b"".join(struct.pack("<HH", *run) for run in runs)


def vector(rows, as_runs=False):
    """A deletion vector of rows below 2^32."""
    halves = {}
    for row in sorted(rows):
        halves.setdefault(row >> 16, []).append(row & 0xffff)
    head = (struct.pack("<I", 12347 | len(halves) - 1 << 16) + b"\xff" * ((len(halves) + 7) // 8)
            if as_runs else struct.pack("<II", 12346, len(halves)))
    head += b"".join(struct.pack("<HH", half, len(low) - 1) for half, low in halves.items())
    bodies = [container(low, "runs" if as_runs else "array" if len(low) <= 4096 else "bitset")
              for low in halves.values()]
    at = len(head) + 4 * len(halves)
    if not as_runs or len(halves) >= 4:
        for body in bodies:
            head += struct.pack("<I", at)
            at += len(body)
    return struct.pack("<IQI", 1681511377, 1, 0) + head + b"".join(bodies)


# ---- tables -----------------------------------------------------------------------------------

ROWS = 150_000  # three containers
PER_GROUP = 20_000


def write_table(folder, files, partitioned=False):
    """files: one list of deleted rows, as_runs and storage type a data file. Gives the ids left."""
    rng = random.Random(11)
    (folder / "_delta_log").mkdir(parents=True)
    feature = ["deletionVectors"]
    fields = [("id", "long"), ("name", "string"), ("half", "double")]
    columns = [{"name": name, "type": kind, "nullable": True, "metadata": {}}
               for name, kind in fields]
    columns.append({"name": "list", "nullable": True, "metadata": {}, "type": {
        "type": "array", "elementType": "long", "containsNull": True}})
    if partitioned:
        columns.append({"name": "part", "type": "integer", "nullable": True, "metadata": {}})
    actions = [
        {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": feature,
                      "writerFeatures": feature}},
        {"metaData": {"id": str(UUID), "format": {"provider": "parquet", "options": {}},
                      "schemaString": json.dumps({"type": "struct", "fields": columns}),
                      "partitionColumns": ["part"] if partitioned else [],
                      "configuration": {"delta.enableDeletionVectors": "true"}}}]
    bins, left = bytearray(b"\x01"), []
    for at, (deleted, as_runs, kind) in enumerate(files):
        first = at * ROWS
        ids = list(range(first, first + ROWS))
        table = pa.table({
            "id": pa.array(ids, pa.int64()),
            "name": pa.array([f"name {i % 7}" if i % 5 else None for i in ids]),
            "half": pa.array([rng.random() if i % 2 else i / 2 for i in ids]),
            "list": pa.array([list(range(i % 4)) if i % 9 else None for i in ids],
                             pa.list_(pa.int64()))})
        name = f"part-{at}.parquet"
        pq.write_table(table, folder / name, row_group_size=PER_GROUP, data_page_size=8192,
                       write_page_index=True, use_dictionary=["name"])
        stats = {"numRecords": ROWS, "tightBounds": False, "minValues": {"id": first},
                 "maxValues": {"id": first + ROWS - 1}, "nullCount": {"id": 0}}
        add = {"path": name, "partitionValues": {"part": str(at)} if partitioned else {},
               "size": (folder / name).stat().st_size, "modificationTime": 1650000000000,
               "dataChange": True, "stats": json.dumps(stats)}
        if deleted is not None:
            data = vector(deleted, as_runs)
            add["deletionVector"] = {"storageType": kind, "sizeInBytes": len(data),
                                     "cardinality": len(deleted)}
            add["deletionVector"]["pathOrInlineDv"] = (
                base85(data) if kind == "i" else f"file://{folder / VECTORS}" if kind == "p"
                else base85(UUID.bytes))
            if kind != "i":
                add["deletionVector"]["offset"] = len(bins)
                bins += struct.pack(">I", len(data)) + data + struct.pack(">I", zlib.crc32(data))
        actions.append({"add": add})
        gone = set(deleted or [])
        left += [(first + row, at) for row in range(ROWS) if row not in gone]
    (folder / VECTORS).write_bytes(bins)
    (folder / "_delta_log/00000000000000000000.json").write_text(
        "".join(json.dumps(action) + "\n" for action in actions))
    return left


def random_rows(n, seed):
    return random.Random(seed).sample(range(ROWS), n)


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "partitioned"])
def table(request, tmp_path_factory):
    """Its folder, and (id, file) of the rows that are left."""
    folder = tmp_path_factory.mktemp("vectors") / "table"
    files = [
        (random_rows(500, 1), False, "u"),
        (random_rows(60_000, 2), False, "u"),
        (None, False, None),
        (list(range(30_000, 95_000)), True, "u"),  # whole row groups
        ([0, ROWS - 1, PER_GROUP, PER_GROUP - 1], False, "i"),
        (list(range(ROWS)), True, "p"),  # all rows
        ([], False, "i"),
    ]
    return folder, write_table(folder, files, request.param), request.param


# ---- reading ----------------------------------------------------------------------------------

FILTERS = ["true", "id % 1000 = 3", "id BETWEEN 19990 AND 20010", "id >= 149990 AND id < 150020",
           "id BETWEEN 479000 AND 546000", "name IS NULL", "id = 0", "id = 1049999", "half < 100",
           "id BETWEEN 750000 AND 899999"]


def test_the_rows_that_are_left(smelt, table):
    folder, left, is_partitioned = table
    got = smelt.sql(f"SELECT id FROM delta_scan('{folder}')")
    assert [row["id"] for row in got] == [i for i, _ in left]
    [sums] = smelt.sql(f"SELECT count(*) AS n, count(name) AS names, count(list) AS lists, "
                       f"sum(id) AS ids FROM delta_scan('{folder}')")
    assert sums == {"n": len(left), "names": sum(i % 5 != 0 for i, _ in left),
                    "lists": sum(i % 9 > 0 for i, _ in left),
                    "ids": sum(i for i, _ in left)}
    if is_partitioned:
        got = smelt.sql(f"SELECT part, count(*) AS n FROM delta_scan('{folder}') GROUP BY part "
                        "ORDER BY part")
        assert {row["part"]: row["n"] for row in got} == {
            part: n for part in range(7) if (n := sum(at == part for _, at in left))}


@pytest.mark.parametrize("where", FILTERS)
def test_filters(smelt, duckdb_delta, table, where):
    """Row groups and pages are skipped, and the rows of the others keep their numbers."""
    folder, _, _ = table
    query = (f"SELECT id, name, half, list FROM delta_scan('{folder}') WHERE {where} "
             "ORDER BY id LIMIT 5000")
    got = smelt.sql(query)
    assert [tuple(row.values()) for row in got] == duckdb_delta.query(query)
    count = f"SELECT count(*) AS n FROM delta_scan('{folder}') WHERE {where}"
    assert [(smelt.sql(count)[0]["n"],)] == duckdb_delta.query(count)


def test_limit_and_threads(smelt, table):
    folder, left, _ = table
    got = smelt.sql(f"SELECT id FROM delta_scan('{folder}') LIMIT 700", "--threads", 1)
    assert [row["id"] for row in got] == [i for i, _ in left[:700]]
    got = smelt.sql(f"SELECT id FROM delta_scan('{folder}') LIMIT 10 OFFSET 149000")
    assert [row["id"] for row in got] == [i for i, _ in left[149000:149010]]


def test_counts(smelt, table):
    folder, left, _ = table
    assert smelt.json("table", "show", folder, "--json")["rows"] == len(left)
    files = smelt.json("table", "files", folder, "--json")["files"]
    assert [file["rows"] for file in files] == [sum(at == k for _, at in left) for k in range(7)]


def test_golden_tables(smelt, duckdb_delta, conformance):
    for name in ["dv-partitioned-with-checkpoint", "dv-with-columnmapping",
                 "log-replay-dv-key-cases"]:
        query = f"SELECT * FROM delta_scan('{conformance / 'delta-golden' / name}') ORDER BY ALL"
        got = [tuple(row.values()) for row in smelt.sql(query)]
        assert got == duckdb_delta.query(query) != []


# ---- damage -----------------------------------------------------------------------------------


def refused(smelt, folder):
    done = smelt("sql", f"SELECT count(*) FROM delta_scan('{folder}')", check=False)
    assert done.returncode != 0
    assert "deletion vector of file \"part-0.parquet\" in version 0" in done.stderr
    return done.stderr


def test_damage(smelt, tmp_path):
    folder = tmp_path / "table"
    write_table(folder, [([1, 2, 3], False, "u")])
    bins = (folder / VECTORS).read_bytes()
    for at, message in [(0, "version 2"), (4, "the log"), (20, "checksum"),
                        (len(bins) - 1, "checksum")]:
        (folder / VECTORS).write_bytes(bins[:at] + bytes([bins[at] ^ 3]) + bins[at + 1:])
        assert message in refused(smelt, folder)
    (folder / VECTORS).write_bytes(bins[:-1])
    assert "are not in a file" in refused(smelt, folder)
    (folder / VECTORS).unlink()
    refused(smelt, folder)


def test_another_number_of_rows(smelt, tmp_path):
    folder = tmp_path / "table"
    write_table(folder, [([1, ROWS], False, "i")])
    assert "does not have" in refused(smelt, folder)
    log = folder / "_delta_log/00000000000000000000.json"
    text = log.read_text()
    log.write_text(text.replace('"cardinality": 2', f'"cardinality": {ROWS + 1}'))
    assert "it deletes 150001 of 150000 rows" in refused(smelt, folder)
