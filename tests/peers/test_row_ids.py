"""Rows of a table that tracks them keep their ids, and the versions that wrote them, through every statement that
writes files anew: a model of the rows is compared with what the log and the files say after each. What Spark says
of such tables is in test_spark_ids.py."""
import json
import random
import urllib.parse

import deltalake
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

VECTORS = "'delta.enableDeletionVectors' = 'true'"
MAPPING = "'delta.columnMapping.mode' = 'name'"
FEED = "'delta.enableChangeDataFeed' = 'true'"
KINDS = {  # properties, partition columns
    "plain": ([], []),
    "vectors": ([VECTORS], []),
    "parts": ([], ["p"]),
    "parts and vectors": ([VECTORS], ["p"]),
    "mapping and feed": ([MAPPING, FEED], []),
    "all": ([VECTORS, MAPPING, FEED], ["p"]),
}


class Tracked:
    """A table, and a model of it: {k: (v, row id, version)}."""

    def __init__(self, smelt, uri, kind):
        properties, partition_by = KINDS[kind]
        self.smelt, self.uri, self.rows, self.n_changes, self.n_unmoved = smelt, uri, {}, 0, 0
        for part in range(3):
            n = [part * 20 + i for i in range(20)]
            deltalake.write_deltalake(str(uri), pa.table({"k": n, "v": [0] * 20, "p": [i % 2 for i in n]}),
                                      mode="append", partition_by=partition_by or None)
        properties = ", ".join(["'delta.enableRowTracking' = 'true'", *properties])
        smelt("table", "alter", uri, f"SET TBLPROPERTIES ({properties})")
        self.rows = {k: (0, i, v) for (k, _), (i, v) in self.stored().items()}
        assert sorted(i for _, i, _ in self.rows.values()) == list(range(60))

    def log(self):
        """The files, the schema, the properties and the domain that the log has now."""
        files, meta, high = {}, None, -1
        paths = sorted((self.uri / "_delta_log").glob("*.json"))
        for path in paths:
            for line in path.read_text().splitlines():
                action = json.loads(line)
                if "metaData" in action:
                    meta = action["metaData"]
                elif "domainMetadata" in action and action["domainMetadata"]["domain"] == "delta.rowTracking":
                    high = json.loads(action["domainMetadata"]["configuration"])["rowIdHighWaterMark"]
                elif "remove" in action:
                    files.pop(action["remove"]["path"], None)
                elif "add" in action:
                    files[action["add"]["path"]] = action["add"]
        return files, meta, high, int(paths[-1].stem)

    def stored(self):
        """{(k, v): (row id, version)} of all rows of the files; a vector may have deleted some."""
        files, meta, high, _ = self.log()
        fields = {f["name"]: f["metadata"].get("delta.columnMapping.physicalName", f["name"])
                  for f in json.loads(meta["schemaString"])["fields"]}
        names = [meta["configuration"][f"delta.rowTracking.materializedRow{name}ColumnName"]
                 for name in ("Id", "CommitVersion")]
        found, firsts = {}, []
        for path, add in files.items():
            file = parquet.read_table(self.uri / urllib.parse.unquote(path), partitioning=None)
            ids, versions = (file[name].to_pylist() if name in file.column_names else [None] * len(file)
                             for name in names)
            firsts += range(add["baseRowId"], add["baseRowId"] + len(file))
            for i, (k, v) in enumerate(zip(file[fields["k"]].to_pylist(), file[fields["v"]].to_pylist())):
                found[k, v] = (add["baseRowId"] + i if ids[i] is None else ids[i],
                               add["defaultRowCommitVersion"] if versions[i] is None else versions[i])
        assert len(set(firsts)) == len(firsts) and max(firsts) <= high
        return found

    def check(self, changed, version):
        """changed: {k: v of a row that was added or changed, None of one that went}."""
        values = {row["k"]: row["v"] for row in self.smelt.sql(f"SELECT k, v FROM '{self.uri}'")}
        expected = {k: v for k, (v, _, _) in self.rows.items()} | changed
        assert values == {k: v for k, v in expected.items() if v is not None}
        stored, before = self.stored(), self.rows
        self.rows = {k: (v, *stored[k, v]) for k, v in values.items()}
        most = max(i for _, i, _ in before.values())
        for k, (_, i, v) in self.rows.items():
            if k not in changed:
                assert (i, v) == before[k][1:], k
            elif k in before:
                assert (i, v) == (before[k][1], version), k
            else:
                assert i > most and v == version, k
        assert len({i for _, i, _ in self.rows.values()}) == len(self.rows)

    def run(self, sql, changed):
        self.smelt("sql", "--write", sql.format(t=f"'{self.uri}'"))
        _, _, _, version = self.log()
        self.check(changed, version)

    def keep(self, *command):
        self.smelt(*command)
        self.check({}, None)


def change(t, rnd):
    """One statement, any of those that change rows."""
    t.n_changes += 1
    v, keys = t.n_changes, sorted(t.rows)
    some = rnd.sample(keys, rnd.choice([1, 2, 8, len(keys) // 2]))
    fresh = [max(keys) + 1 + i for i in range(rnd.randrange(1, 5))]
    listed = ", ".join(map(str, some))
    source = ", ".join(f"({k})" for k in some + fresh)
    kind = rnd.choice(["insert", "update", "delete", "merge", "by source", "delete of pairs", "optimize", "cluster"])
    if kind == "insert":
        t.run("INSERT INTO {t} VALUES " + ", ".join(f"({k}, {v}, {k % 2})" for k in fresh), {k: v for k in fresh})
    elif kind == "update":
        t.run(f"UPDATE {{t}} SET v = {v} WHERE k IN ({listed})", {k: v for k in some})
    elif kind == "delete":
        t.run(f"DELETE FROM {{t}} WHERE k IN ({listed})", {k: None for k in some})
    elif kind == "merge":
        t.run(f"MERGE INTO {{t}} t USING (VALUES {source}) s(k) ON t.k = s.k "
              f"WHEN MATCHED AND t.k % 3 = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET v = {v} "
              f"WHEN NOT MATCHED THEN INSERT (k, v, p) VALUES (s.k, {v}, s.k % 2)",
              {k: None if k % 3 == 0 else v for k in some} | {k: v for k in fresh})
    elif kind == "by source":
        t.run(f"MERGE INTO {{t}} t USING (VALUES {source}) s(k) ON t.k = s.k "
              f"WHEN NOT MATCHED BY SOURCE AND t.k % 5 = 0 THEN UPDATE SET v = {v} "
              f"WHEN NOT MATCHED THEN INSERT (k, v, p) VALUES (s.k, {v}, s.k % 2)",
              {k: v for k in keys if k % 5 == 0 and k not in some} | {k: v for k in fresh})
    elif kind == "delete of pairs":
        t.run(f"MERGE INTO {{t}} t USING (VALUES {source}) s(k) ON t.k = s.k WHEN MATCHED THEN DELETE",
              {k: None for k in some})
    elif kind == "optimize":
        t.keep("table", "optimize", t.uri)
    else:
        t.keep("table", "cluster", t.uri, "--by", "k")


@pytest.mark.parametrize("kind", KINDS)
def test_rows_keep_their_ids(smelt, tmp_path, kind):
    t, rnd = Tracked(smelt, tmp_path / "t", kind), random.Random(kind)
    for _ in range(16):
        change(t, rnd)
        if len(t.rows) < 20:
            more = range(1000 * t.n_changes, 1000 * t.n_changes + 40)
            t.run("INSERT INTO {t} VALUES " + ", ".join(f"({k}, -1, 0)" for k in more), {k: -1 for k in more})
    smelt("table", "fsck", "--data", t.uri)
