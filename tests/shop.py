"""A small pipeline for tests of runs and of books: the orders of a month, a quarantine for refused
lines, and two tables made from them."""
import json
import shutil

PIPELINE = """\
name: shop
vars:
  logs: {type: uri, default: ./logs}
  lake: {type: uri, default: ./lake}
  month: {type: month}
lake: lake
sources:
  - name: logs
    match: '^[^.].*[.]json(.gz)?$'
    window: month
    quarantine: refused.orders
tasks:
  - load: raw.orders
    from: logs
    sql: orders.sql
    by: day
  - view: mart.good
    sql: good.sql
  - table: mart.cities
    sql: cities.sql
  - table: mart.best
    sql: best.sql
"""
SQL = {
    "orders": """SELECT id, item.city AS city, item.n AS n, file_date AS day
FROM read_json(var('logs'), match => '^[^.].*[.]json(.gz)?$',
    columns => {id: 'BIGINT', item: 'STRUCT(city VARCHAR, n BIGINT)'},
    file_date => true, bad_lines => 'quarantine', validate => 'all')""",
    "good": "SELECT * FROM raw.orders WHERE n > 0",
    "cities": "SELECT city, CAST(sum(n) AS BIGINT) AS n FROM mart.good GROUP BY city",
    "best": "SELECT city FROM mart.cities WHERE n > 5",
}
TABLES = ["refused/orders", "raw/orders", "mart/cities", "mart/best"]
BOOKS = ["raw/orders", "refused/orders"]  # those that files are loaded into
REPORT_KEYS = ["lines", "unknown", "files", "missing_days", "gone", "moved", "copies", "tables",
               "published", "clustered", "optimized", "vacuumed", "commands", "drift", "mixed_seconds", "contracts", "network", "seconds",
               "peak_bytes"]


def line(number, city="Rome", n=1):
    return json.dumps({"id": number, "item": {"city": city, "n": n}}) + "\n"


class Shop:
    """A pipeline in its folder, with its logs and its lake."""

    def __init__(self, smelt, folder):
        self.smelt, self.folder, self.logs, self.lake = smelt, folder, folder / "logs", folder / "lake"
        self.logs.mkdir()
        self.file = folder / "shop.yaml"
        self.write(PIPELINE)
        for name, text in SQL.items():
            self.sql(name, text)

    def write(self, text):
        self.file.write_text(text)

    def sql(self, name, text):
        (self.folder / f"{name}.sql").write_text(text)

    def put(self, name, *lines):
        (self.logs / name).write_text("".join(lines))

    def process(self, *options, month="2022-04", logs=None, **kwargs):
        return self.smelt("run", self.file, "--var", f"logs={logs or self.logs}", "--var",
                          f"lake={self.lake}", "--var", f"month={month}", *options, **kwargs)

    def run(self, *options, **kwargs):
        return json.loads(self.process("--json", *options, **kwargs).stdout)

    def fail(self, *options, code=1, **kwargs):
        """The error's text; nothing was published."""
        before = self.versions()
        done = self.process(*options, check=False, **kwargs)
        assert done.returncode == code, done.stderr
        assert done.stdout == ""
        assert done.stderr.startswith("smelt: ") and done.stderr.count("smelt: ") == 1
        assert self.versions() == before
        return done.stderr

    def versions(self):
        """The last version of each table; −1 where there is none."""
        logs = {table: self.lake / table / "_delta_log" for table in TABLES}
        return {table: max((int(path.stem) for path in log.glob("*.json")), default=-1)
                if log.exists() else -1 for table, log in logs.items()}

    def rows(self, table):
        return self.smelt.sql(f"SELECT * FROM {table}", "--lake", self.lake)

    def ids(self):
        return [row["id"] for row in self.rows("raw.orders")]

    def refused(self):
        """(file, line) of each row of the quarantine."""
        rows = self.rows("refused.orders")
        return sorted((row["file"].rpartition("/")[2], row["line"]) for row in rows)


# ---- reading the log --------------------------------------------------------------------------


def actions(table):
    for path in sorted((table / "_delta_log").glob("*.json")):
        for row in path.read_text().splitlines():
            yield json.loads(row)


def data_files(table):
    found = set()
    for action in actions(table):
        if "add" in action:
            found.add(action["add"]["path"])
        if "remove" in action:
            found.discard(action["remove"]["path"])
    return found


def transactions(table):
    """{file: version} of the pipeline's transactions; that of the books is beside them."""
    found = {}
    for action in actions(table):
        if "txn" in action and action["txn"]["appId"] != "smelt:books":
            assert action["txn"]["appId"].startswith("smelt:shop:")
            found[action["txn"]["appId"].removeprefix("smelt:shop:")] = action["txn"]["version"]
    return found


# ---- tables of before ---------------------------------------------------------------------------


def make_old(shop, pipeline="shop"):
    """The tables as they were written before books had files: each commit tells of all files of its
    window, by hashes of their own bytes, which those of compressed ones are not of their content."""
    for table in BOOKS:
        folder = shop.lake / table
        for path in sorted((folder / "_delta_log").glob("*.json")):
            rows = [json.loads(row) for row in path.read_text().splitlines()]
            said = [row["commitInfo"]["smelt"] for row in rows if "commitInfo" in row][0]
            known = (folder / "_smelt" / said["books"]).read_text().splitlines()[1:]
            del said["books"]
            said.update(pipeline=pipeline, files=[old_entry(json.loads(row)) for row in known])
            kept = [row for row in rows if row.get("txn", {}).get("appId") != "smelt:books"]
            for row in kept:
                if "txn" in row:
                    row["txn"]["appId"] = row["txn"]["appId"].replace("shop", pipeline)
            path.write_text("".join(json.dumps(row) + "\n" for row in kept))
        shutil.rmtree(folder / "_smelt")


def old_entry(entry):
    old = {"name": entry["path"], **{key: entry[key] for key in ("uri", "version")}}
    if entry.get("dropped"):
        return {**old, "dropped": True}
    hash_of_bytes = entry["hash"][::-1] if entry["path"].endswith(".gz") else entry["hash"]
    return {**old, **{key: entry[key] for key in ("size", "modified_us", "lines", "date")},
            "hash": hash_of_bytes}
