"""Commands that change a table: what tests kill, disturb and repeat. Each has a lake that is made by
`prepare` in a folder on disk; the command may then work on a copy of it, wherever that is.

lake     the root of the lake that the command works on, as a path or a URI
folder   where the files lie that the command reads besides, those of `prepare`"""
import json
import os
import shutil
import time

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq

DAY = 86400
PIPELINE = """\
name: parts
vars:
  lake: {type: uri}
lake: lake
tasks:
  - table: shop.orders
    sql: t.sql
    partition_by: city
    overwrite: partitions
"""
OLD = [(1, "a"), (2, "b"), (3, "a"), (4, "b")]


def write(uri, rows, **kwargs):
    deltalake.write_deltalake(str(uri), pa.table({"id": [id for id, _ in rows], "city": [c for _, c in rows]}),
                              mode="append", **kwargs)


class Work:
    """A statement that changes the table `shop/orders` of a lake."""
    target = "shop/orders"

    def __init__(self, statement, new, again=False):
        """new: the rows afterwards. again: can it be run a second time, with the same result?"""
        self.statement, self.new, self.again = statement, sorted(new), again

    def prepare(self, folder):
        """Makes the lake `folder`/lake."""
        for part in (OLD[:2], OLD[2:]):
            write(folder / "lake/shop/orders", part)

    def command(self, lake, folder):
        return ["sql", "--write", "--lake", lake, self.statement]

    def is_refused(self, done):
        """Has it been refused only because it is done already?"""
        return False

    def check_done(self, program, lake, env=None):
        """Beyond its rows, which are `new`."""

    def settle(self, program, lake, env=None):
        """Completes what was begun, if the work must not be done twice."""
        if not self.again:
            program("table", "vacuum", f"{lake}/{self.target}", check=False, env=env)

    def rows(self, program, lake, env=None):
        """None: there is no table."""
        done = program("sql", "--format", "json", f"FROM '{lake}/{self.target}'", check=False, env=env)
        if done.returncode != 0:
            assert "no Delta table" in done.stderr or "is not a Delta table" in done.stderr or (
                "there is no file or folder" in done.stderr), done.stderr
            return None
        return sorted((row["id"], row["city"]) for row in json.loads(done.stdout))


class Table(Work):
    """A command of `smelt table`, which may be run again."""

    def __init__(self, words, new=OLD):
        super().__init__(None, new, again=True)
        self.words = words

    def command(self, lake, folder):
        return ["table", self.words[0], f"{lake}/{self.target}", *self.words[1:]]


    def check_done(self, program, lake, env=None):
        """Done again, it makes no version."""
        def version():
            return program.json("table", "show", f"{lake}/{self.target}", "--json", env=env)["version"]
        before = version()
        program(*self.command(lake, None), env=env)
        assert version() == before


class Restored(Table):
    def prepare(self, folder):
        super().prepare(folder)
        deltalake.DeltaTable(str(folder / "lake/shop/orders")).delete("id = 4")


class Vacuumed(Table):
    """Files that an optimize has left, and one that nobody knows."""

    def prepare(self, folder):
        super().prepare(folder)
        deltalake.DeltaTable(str(folder / "lake/shop/orders")).optimize.compact()
        (folder / "lake/shop/orders/orphan.parquet").write_text("x")

    def check_done(self, program, lake, env=None):
        assert program.json(*self.command(lake, None), "--dry-run", "--json", env=env)["files"] == 0


class Altered(Table):
    """A column that is there already is refused, also one that was added just now."""

    def is_refused(self, done):
        return 'there is a column "name" already' in done.stderr

    def rows(self, program, lake, env=None):
        rows = program.sql(f"FROM '{lake}/{self.target}'", env=env)
        return sorted((row["id"], row["city"], *(["name"] if "name" in row else [])) for row in rows)

    def check_done(self, program, lake, env=None):
        assert self.is_refused(program(*self.command(lake, None), check=False, env=env))


class Merge(Work):
    def prepare(self, folder):
        super().prepare(folder)
        write(folder / "lake/shop/news", [(2, "x"), (9, "new")])


class Replaced(Work):
    """Partitions that a pipeline replaces, those that its rows have."""

    def prepare(self, folder):
        write(folder / "lake/shop/orders", OLD, partition_by=["city"])
        (folder / "p.yaml").write_text(PIPELINE)
        (folder / "t.sql").write_text("SELECT CAST(7 AS BIGINT) AS id, 'a' AS city")

    def command(self, lake, folder):
        return ["run", folder / "p.yaml", "--var", f"lake={lake}"]


class Kept(Work):
    """The table's log gets a checkpoint, by which old commits are deleted."""

    def prepare(self, folder):
        uri = folder / "lake/shop/orders"
        for number, row in enumerate(OLD):
            write(uri, [row], configuration=None if number else {"delta.checkpointInterval": "3"})
        for number in range(2):
            write(uri, [(5 + number, "c")])
            deltalake.DeltaTable(str(uri)).create_checkpoint()
        for path in (uri / "_delta_log").glob("0*"):
            os.utime(path, (time.time() - 40 * DAY,) * 2)


class Converted(Work):
    def prepare(self, folder):
        super().prepare(folder)
        shutil.rmtree(folder / "lake/shop/orders/_delta_log")

    def command(self, lake, folder):
        return ["table", "convert", f"{lake}/shop/orders"]


class Cloned(Work):
    """A clone that is there already is refused, also one that was completed just now."""
    target = "trial/orders"

    def is_refused(self, done):
        return "is a Delta table already" in done.stderr

    def command(self, lake, folder):
        return ["table", "clone", f"{lake}/shop/orders", f"{lake}/trial/orders"]


class Repaired(Work):
    """A file is gone, so there are no old rows to read."""

    def prepare(self, folder):
        super().prepare(folder)
        [gone] = [path for path in (folder / "lake/shop/orders").glob("*.parquet")
                  if pq.read_table(path)["id"][0].as_py() == 3]
        gone.unlink()

    def command(self, lake, folder):
        return ["table", "fsck", f"{lake}/shop/orders", "--repair", "--rows", 2]

    def rows(self, program, lake, env=None):
        done = program("table", "fsck", f"{lake}/{self.target}", "--json", check=False, env=env)
        return self.new if json.loads(done.stdout)["left"] == 0 else None


CHANGES = {
    "insert": Work("INSERT INTO shop.orders SELECT id + 10, city FROM shop.orders WHERE id < 3",
                   [*OLD, (11, "a"), (12, "b")]),
    "delete": Work("DELETE FROM shop.orders WHERE id = 1 OR city = 'b'", [(3, "a")], again=True),
    "update": Work("UPDATE shop.orders SET city = 'c' WHERE id IN (2, 3)",
                   [(1, "a"), (2, "c"), (3, "c"), (4, "b")], again=True),
    "merge": Merge("MERGE INTO shop.orders o USING shop.news n ON o.id = n.id WHEN MATCHED THEN UPDATE SET * "
                   "WHEN NOT MATCHED THEN INSERT *", [(1, "a"), (2, "x"), (3, "a"), (4, "b"), (9, "new")],
                   again=True),
    "replace": Work("CREATE OR REPLACE TABLE shop.orders AS SELECT CAST(5 AS BIGINT) AS id, 'z' AS city",
                    [(5, "z")], again=True),
    "partitions": Replaced(None, [(2, "b"), (4, "b"), (7, "a")], again=True),
    "checkpoint": Kept("INSERT INTO shop.orders VALUES (9, 'd')", [*OLD, (5, "c"), (6, "c"), (9, "d")]),
    "convert": Converted(None, OLD),
    "clone": Cloned(None, OLD, again=True),
    "repair": Repaired(None, OLD[:2]),
    "alter": Altered(["alter", "ADD COLUMN name VARCHAR"], [(id, city, "name") for id, city in OLD]),
}
MAINTENANCE = {
    "optimize": Table(["optimize"]),
    "cluster": Table(["cluster", "--by", "id,city"]),
    "vacuum": Vacuumed(["vacuum", "--retention", "0s", "--no-retention-check"]),
    "restore": Restored(["restore", "--version", "1"]),
}
