"""A pipeline of one folder whose table has a contract: the orders of days, as lines of JSON, become
mart.orders in any of the ways in which a task writes. For tests of contracts in runs, of candidates that
are kept, and of processes that are killed at them."""
import json
import textwrap

import deltalake

COLUMNS = "{id: 'BIGINT', city: 'VARCHAR', amount: 'DOUBLE'}"
LOAD = (f"SELECT *, file_date AS day FROM read_json(var('in'), columns => {COLUMNS}, file_date => true, "
        "bad_lines => 'quarantine', validate => 'all')")
HEAD = """\
name: shop
vars:
  in: {type: uri, default: ./in}
  lake: {type: uri, default: ./lake}
  day: {type: date}
lake: lake
sources:
  - {name: in, quarantine: quarantine.lines}
tasks:
"""
WAYS = {
    "load": "- {load: mart.orders, from: in, sql: load.sql, by: day, contract: c.yaml}",
    "overwrite": "- {table: mart.orders, sql: all.sql, contract: c.yaml}",
    "replace": "- {table: mart.orders, sql: day.sql, replace: day, contract: c.yaml}",
    "append": "- {table: mart.orders, sql: day.sql, append: day, contract: c.yaml}",
    "partitions": "- {table: mart.orders, sql: day.sql, partition_by: day, overwrite: partitions, contract: c.yaml}",
    "merge": "- {table: mart.orders, sql: keyed.sql, merge: {key: id}, contract: c.yaml}",
    "scd2": "- {table: mart.orders, sql: keyed.sql, scd2: {key: id}, contract: c.yaml}",
}
CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: shop
version: 1.2.0
status: active
schema:
"""
AMOUNTS = """\
  - name: orders
    properties:
      - {name: id, logicalType: integer, unique: true}
      - {name: amount, logicalType: number, logicalTypeOptions: {minimum: 0}}
"""
ORDERS = AMOUNTS + """\
      - name: city
        logicalType: string
        quality: [{metric: invalidValues, arguments: {validValues: [Oslo, Rome]}, mustBe: 0, severity: warning}]
"""


def row(id, amount=1.0, city="Oslo"):
    return {"id": id, "city": city, "amount": amount}


class Shop:
    def __init__(self, smelt, folder, contract=ORDERS):
        self.smelt, self.folder, self.lake = smelt, folder, folder / "lake"
        (folder / "in").mkdir()
        self.sql("load", LOAD)
        self.sql("all", LOAD)
        self.sql("day", LOAD + " WHERE file_date = var('day')")
        self.sql("keyed", LOAD.replace(", file_date AS day", "") + " WHERE file_date = var('day')")
        self.tasks(WAYS["load"])
        self.contract(contract)

    # ---- its files

    def tasks(self, text, head=HEAD):
        (self.folder / "p.yaml").write_text(head + textwrap.indent(textwrap.dedent(text), "  "))

    def way(self, way):
        """Only the day of the run is read, but by `load` and `overwrite`, which have all days."""
        self.tasks(WAYS[way])

    def sql(self, name, text):
        (self.folder / f"{name}.sql").write_text(text)

    def contract(self, tables, name="c.yaml"):
        (self.folder / name).write_text(CONTRACT + tables)

    def least(self, amount, tables=AMOUNTS):
        """The contract with another least amount."""
        assert "minimum: 0" in tables
        self.contract(tables.replace("minimum: 0", f"minimum: {amount}"))

    def give(self, day, *rows, name=None):
        path = self.folder / "in" / (name or f"{day.replace('-', '')}.json")
        path.write_text("".join(r if isinstance(r, str) else json.dumps(r) + "\n" for r in rows))

    def give_amounts(self, day, *amounts, first=None):
        """Orders with ids from `first` on: 200, 201, … on 2022-04-02."""
        first = int(day[-2:]) * 100 if first is None else first
        self.give(day, *(row(first + i, amount) for i, amount in enumerate(amounts)))

    # ---- commands

    def process(self, day="2022-04-01", *options, **kwargs):
        return self.smelt("run", "p.yaml", "--date", day, *options, check=False, **kwargs)

    def run(self, day="2022-04-01", *options, code=0):
        """One that fails has written nothing but a candidate."""
        before = self.files()
        done = self.process(day, *options)
        assert done.returncode == code, done.stderr
        if code:
            assert self.files() == before, "a run that failed has written"
        return done

    def json(self, day="2022-04-01", *options, code=0):
        return json.loads(self.run(day, "--json", *options, code=code).stdout)

    def check(self, *options, code=0, name="candidate.mart.orders", **kwargs):
        done = self.smelt("check", "c.yaml", name, "--lake", "lake", *options, check=False, **kwargs)
        assert code is None or done.returncode == code, done.stderr
        return done

    def query(self, text, code=0):
        """The rows, or what is told instead."""
        done = self.smelt("sql", text, "--lake", "lake", "--format", "json", check=False)
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout) if code == 0 else done.stderr

    # ---- what is there

    def files(self):
        """Without those of a candidate that is kept."""
        kept = {self.lake / head["path"] / name
                for text in (p.read_text() for p in self.lake.glob("_smelt/candidates/*/*/candidate.json"))
                for head in [json.loads(text.split("\n", 1)[0])] for name in head["files"]}
        return sorted(str(p) for p in self.lake.rglob("*")
                      if p.is_file() and "/_smelt/" not in str(p) and p not in kept)

    def table(self, name="mart/orders"):
        return deltalake.DeltaTable(self.lake / name)

    def ids(self, name="mart.orders"):
        """By smelt, of a table or of candidate.mart.orders."""
        return [r["id"] for r in self.query(f"SELECT id FROM {name} ORDER BY id")]

    def ids_by_delta_rs(self, name="mart/orders"):
        return sorted(self.table(name).to_pyarrow_table()["id"].to_pylist())

    def verdict(self, name="mart/orders"):
        return self.table(name).history(1)[0]["smelt"]["verdict"]

    # ---- the candidate that is kept

    @property
    def kept(self):
        return self.lake / "_smelt/candidates/mart/orders/candidate.json"

    def claims(self):
        return list(self.lake.glob("_smelt/candidates/mart/orders/*/*.claim"))

    def head(self):
        return json.loads(self.kept.read_text().split("\n", 1)[0])

    def data(self):
        return sorted(p.name for p in (self.lake / "mart/orders").glob("**/*.parquet") if "_delta_log" not in str(p))
