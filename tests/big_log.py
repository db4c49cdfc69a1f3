"""Makes the log of a large Delta table in seconds: a checkpoint of many adds with statistics, and
commits after it. For measurements (bench/) and for tests of memory (tests/memory/).

  python tests/big_log.py FOLDER --files 1000000 --commits 50
  python tests/big_log.py FOLDER --files 1000 --commits 100000 --every 10

The table has the columns id BIGINT, name VARCHAR, value DOUBLE and day DATE, and is partitioned by day.
File number i holds the ids from 1000 i to 1000 i + 999. Only the files of the ids that one_range() names
are really there: a query of other rows fails, so whoever does not prune is seen.

DuckDB writes the checkpoint. Each commit adds one file and removes one of the checkpoint's.

With --every N the log is a long one: a commit adds a file and the next removes it, every N versions there
is a checkpoint, which says what the first one says, and every 10 versions without one a log compaction
file. --begin V: what lies before the last checkpoint at or before version V is gone, as after a clean-up.
"""

import argparse
import datetime
import json
import pathlib
import shutil

ROWS = 1000  # in a file
DAYS = 365
FIRST_DAY = datetime.date(2022, 1, 1)

SCHEMA = json.dumps({"type": "struct", "fields": [
    {"name": name, "type": kind, "nullable": True, "metadata": {}}
    for name, kind in [("id", "long"), ("name", "string"), ("value", "double"), ("day", "date")]]})

# SQL of an add, of the file number i of FILES files.
DAY = f"(DATE '{FIRST_DAY}' + (i * {DAYS} // FILES)::INTEGER)::VARCHAR"
STATS = f"""to_json({{'numRecords': {ROWS},
  'minValues': {{'id': i * {ROWS}, 'name': 'name_' || i, 'value': (i * 0.5)::DOUBLE}},
  'maxValues': {{'id': i * {ROWS} + {ROWS - 1}, 'name': 'name_' || i || '_z',
    'value': (i * 0.5 + 100.25)::DOUBLE}},
  'nullCount': {{'id': 0, 'name': 0, 'value': 0}}}})::VARCHAR"""
ADD = f"""{{
  'path': 'day=' || {DAY} || '/part-' || lpad(i::VARCHAR, 8, '0') || '-' ||
    substr(md5(i::VARCHAR), 1, 8) || '-4f3a-9b1e-7c2d5e8f0a61-c000.snappy.parquet',
  'partitionValues': MAP {{'day': {DAY}}},
  'size': CASE WHEN i = FILES // 2 THEN REAL_BYTES ELSE 100000 + i % 1000 END,
  'modificationTime': 1650000000000 + i, 'dataChange': false, 'stats': {STATS}}}"""
ADD_TYPE = ("STRUCT(path VARCHAR, \"partitionValues\" MAP(VARCHAR, VARCHAR), size BIGINT, "
            "\"modificationTime\" BIGINT, \"dataChange\" BOOLEAN, stats VARCHAR)")


def sql_of_add(files, real_bytes=0):
    """real_bytes: the size of the file that is there."""
    return ADD.replace("FILES", str(files)).replace("REAL_BYTES", str(real_bytes))


def one_range(files):
    """The ids of a query that reads one file: the first and the last."""
    i = files // 2
    return i * ROWS + 10, i * ROWS + 20


def metadata():
    return {"id": "5fba94ed-9794-4965-ba6e-6ee3c0d22af9",
            "format": {"provider": "parquet", "options": {}}, "schemaString": SCHEMA,
            "partitionColumns": ["day"], "configuration": {}, "createdTime": 1650000000000}


HEAD = f"""
  SELECT {{'minReaderVersion': 1, 'minWriterVersion': 2}} AS protocol,
    {{'id': '{metadata()["id"]}', 'format': {{'provider': 'parquet',
      'options': MAP([]::VARCHAR[], []::VARCHAR[])}}, 'schemaString': '{SCHEMA}',
      'partitionColumns': ['day'], 'configuration': MAP([]::VARCHAR[], []::VARCHAR[]),
      'createdTime': 1650000000000}} AS meta"""


def write_checkpoint(con, log, version, files, parts, real_bytes):
    """A row of protocol, one of metadata, and those of the adds, in as many parts as asked for."""
    heads = (f"SELECT protocol, NULL AS \"metaData\", NULL::{ADD_TYPE} AS add FROM ({HEAD}) "
             f"UNION ALL SELECT NULL, meta, NULL FROM ({HEAD})")
    for part in range(parts):
        first, last = files * part // parts, files * (part + 1) // parts
        adds = (f"SELECT NULL AS protocol, NULL AS meta, {sql_of_add(files, real_bytes)}::{ADD_TYPE} AS add "
                f"FROM range({first}, {last}) AS r(i)")
        if part > 0:
            heads = f"SELECT * FROM ({heads}) LIMIT 0"
        name = f"{version:020}.checkpoint" + (f".{part + 1:010}.{parts:010}" if parts > 1 else "")
        con.execute(f"COPY (({heads}) UNION ALL {adds}) TO '{log / name}.parquet' "
                    "(FORMAT parquet, COMPRESSION snappy)")
    (log / "_last_checkpoint").write_text(json.dumps(
        {"version": version, "size": files + 2} | ({"parts": parts} if parts > 1 else {})))


def adds_of(con, first, n, files):
    """The adds of n files, as a commit has them."""
    rows = con.execute(f"SELECT ({sql_of_add(files)})::JSON FROM range({first}, {first + n}) AS r(i)")
    return [json.loads(row[0]) | {"dataChange": True} for row in rows.fetchall()]


def info(version, operation):
    return {"commitInfo": {"timestamp": 1650000000000 + version, "operation": operation,
                           "operationParameters": {}}}


def write_commit(log, version, actions):
    text = "\n".join(json.dumps(a, separators=(",", ":")) for a in actions)
    (log / f"{version:020}.json").write_text(text + "\n")


def write_data(con, folder, files):
    """The one file that a query of one_range() reads; its size."""
    i = files // 2
    path = folder / adds_of(con, i, 1, files)[0]["path"]
    path.parent.mkdir(parents=True, exist_ok=True)
    con.execute(f"""COPY (SELECT {i} * {ROWS} + k AS id, 'name_{i}' AS name,
        ({i} * 0.5 + k / 10.0)::DOUBLE AS value
      FROM range({ROWS}) AS r(k)) TO '{path}' (FORMAT parquet)""")
    return path.stat().st_size


def make(folder, files, commits, parts=1):
    """A table of `files` files in a checkpoint of version 0, and `commits` commits after it. Without
    files: a table of commits alone, which has no checkpoint."""
    import duckdb

    con = duckdb.connect()
    con.execute("SET threads = 1")
    log = folder / "_delta_log"
    log.mkdir(parents=True)
    write_commit(log, 0, [info(0, "CREATE TABLE"),
                          {"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}},
                          {"metaData": metadata()}])
    if files:
        write_checkpoint(con, log, 0, files, parts, write_data(con, folder, files))
    added = adds_of(con, files, commits, files + commits)
    removed = adds_of(con, 0, commits, files) if files else [None] * commits
    for version, (add, remove) in enumerate(zip(added, removed), 1):
        actions = [info(version, "WRITE"), {"add": add}]
        if remove:
            actions.append({"remove": {"path": remove["path"], "dataChange": True,
                                       "deletionTimestamp": 1650000000000 + version}})
        write_commit(log, version, actions)


def write_compacted(log, first, last, removed):
    actions = [{"remove": {"path": path, "dataChange": True, "deletionTimestamp": 1650000000000 + last}}
               for path in removed]
    text = "\n".join(json.dumps(a, separators=(",", ":")) for a in actions)
    (log / f"{first:020}.{last:020}.compacted.json").write_text(text + "\n")


def make_long(folder, files, commits, every, begin):
    """A table of `files` files whose log has `commits` commits, and a checkpoint every so many of them (an
    even number)."""
    import duckdb

    make(folder, files, 0)
    log = folder / "_delta_log"
    with duckdb.connect() as con:
        add = adds_of(con, files, 1, files + 1)[0]
    first = begin // every * every
    removed = []
    for version in range(first + (first == 0), commits + 1):
        path = f"day={FIRST_DAY}/part-{(version - 1) // 2:08}.parquet"
        even = version % 2 == 0
        one = ({"remove": {"path": path, "dataChange": True, "deletionTimestamp": 1650000000000 + version}}
               if even else {"add": add | {"path": path, "partitionValues": {"day": str(FIRST_DAY)}}})
        removed += [path] * even
        write_commit(log, version, [info(version, "WRITE"), one])
        if version % every == 0:
            shutil.copyfile(log / f"{0:020}.checkpoint.parquet", log / f"{version:020}.checkpoint.parquet")
        elif version % 10 == 0:
            write_compacted(log, version - 9, version, removed)
        removed = [] if version % 10 == 0 else removed
    if first > 0:
        for name in (".json", ".checkpoint.parquet"):
            (log / f"{0:020}{name}").unlink()
    last = commits // every * every
    (log / "_last_checkpoint").write_text(json.dumps({"version": last, "size": files + 2}))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--commits", type=int, default=50)
    parser.add_argument("--parts", type=int, default=1)
    parser.add_argument("--every", type=int, default=0)
    parser.add_argument("--begin", type=int, default=0)
    args = parser.parse_args()
    if args.every:
        make_long(args.folder, args.files, args.commits, args.every, args.begin)
    else:
        make(args.folder, args.files, args.commits, args.parts)


if __name__ == "__main__":
    main()
