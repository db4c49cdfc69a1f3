"""For tests of rows that contracts take away: a load from lines, a table made of it, and the
quarantines of both, with what each line and row must have become."""
import json

COLUMNS = "{id: 'BIGINT', city: 'VARCHAR', n: 'BIGINT', s: 'STRUCT(x BIGINT, y VARCHAR)'}"
PIPELINE = """\
name: shop
vars:
  in: {type: uri, default: ./in}
  lake: {type: uri, default: ./lake}
  month: {type: month}
lake: lake
sources:
  - {name: in, match: '[.]json(.gz|.zst)?$', window: month, quarantine: quarantine.orders}
tasks:
  - {load: raw.orders, from: in, sql: load.sql, by: day, contract: {file: c.yaml, table: orders}}
  - {table: mart.cities, sql: cities.sql, contract: {file: c.yaml, table: cities}}
"""
LOAD = f"""SELECT id, city, n, s, file_date AS day FROM read_json(var('in'), match => '[.]json(.gz|.zst)?$',
columns => {COLUMNS}, file_date => true, bad_lines => 'quarantine', validate => 'all') WHERE id IS NULL OR id <> 99"""
CITIES = "SELECT city, CAST(sum(n) AS BIGINT) AS n FROM raw.orders GROUP BY city"
HEAD = """\
apiVersion: v3.1.0
kind: DataContract
id: shop
version: 1.0.0
status: active
schema:
"""
ORDERS = """\
  - name: orders
    properties:
      - name: id
        logicalType: integer
        required: true
        customProperties: [{property: smelt.onViolation, value: quarantine}]
      - name: n
        logicalType: integer
        logicalTypeOptions: {minimum: 0}
        customProperties: [{property: smelt.onViolation, value: quarantine}]
"""
UNIQUE = """\
      - name: city
        logicalType: string
        unique: true
        customProperties: [{property: smelt.onViolation, value: quarantine}]
"""
CITIES_RULES = """\
  - name: cities
    properties:
      - name: n
        logicalType: integer
        logicalTypeOptions: {maximum: 10}
        customProperties: [{property: smelt.onViolation, value: quarantine}]
"""


def order(id, city="Oslo", n=1, **more):
    return json.dumps({"id": id, "city": city, "n": n, **more}) + "\n"


class Shop:
    """A pipeline with its files and its lake."""

    def __init__(self, smelt, folder):
        self.smelt, self.folder, self.lake = smelt, folder, folder / "lake"
        (folder / "in").mkdir()
        self.write("load.sql", LOAD)
        self.write("cities.sql", CITIES)
        self.write("p.yaml", PIPELINE)
        self.contract(ORDERS + CITIES_RULES)

    def write(self, name, text):
        (self.folder / name).write_text(text)

    def contract(self, tables):
        self.write("c.yaml", HEAD + tables)

    def pipeline(self, old, new):
        text = (self.folder / "p.yaml").read_text()
        assert old in text
        self.write("p.yaml", text.replace(old, new))

    def put(self, day, *lines):
        """The day's file; a day is "01", or a whole name."""
        name = day if "." in day else f"202204{day}.json"
        (self.folder / "in" / name).write_bytes("".join(lines).encode())

    def process(self, *options, command=("run",), month="2022-04", code=0):
        done = self.smelt(*command, "p.yaml", "--var", f"month={month}", *options, check=False)
        assert done.returncode == code, done.stderr
        return done

    def run(self, *options, **kwargs):
        return json.loads(self.process("--json", *options, **kwargs).stdout)

    def sql(self, text):
        return self.smelt.sql(text, "--lake", self.lake)

    def ids(self, table="raw.orders"):
        return sorted(row["id"] for row in self.sql(f"SELECT id FROM {table}"))

    def quarantine(self, table="orders"):
        """(file's name, line, reason) of each row, in the order of the table."""
        rows = self.sql(f"SELECT file, line, reason FROM quarantine.{table}")
        return [((row["file"] or "").rpartition("/")[2], row["line"], row["reason"]) for row in rows]

    def versions(self):
        return {path.parent.relative_to(self.lake): len(list(path.glob("*.json")))
                for path in self.lake.rglob("_delta_log")}
