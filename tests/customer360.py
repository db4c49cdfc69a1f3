"""What the tests of the shipped pipeline share: logs and their manifest, runs of both pipelines,
tables read without an engine, and silver and gold computed by DuckDB from the same SQL files.

Tables are read here from their log alone, data file after data file in the order of the log. This
gives the order of the rows, which an engine need not keep."""
import datetime
import hashlib
import json
import pathlib
import re
import urllib.parse

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from common import ROOT

PIPELINE = ROOT / "pipelines" / "customer360"
COLUMNS = ["Index", "Type", "Id", "Score", "AppName", "Contract", "Mac", "TotalDuration", "Date"]
LONGS = {"Score", "TotalDuration"}
BRONZE = pa.schema([(name, pa.int64() if name in LONGS else
                     pa.date32() if name == "Date" else pa.string()) for name in COLUMNS])
QUARANTINE = ["file", "line", "byte_offset", "column", "reason", "message", "raw", "raw_bytes", "run",
              "time", "replayed"]
SILVER = ["Contract", "TVDuration", "ChildDuration", "MovieDuration", "RelaxDuration",
          "SportDuration", "MostWatch"]
KEPT_RAW_BYTES = 65536


# ---- logs -------------------------------------------------------------------------------------


class Logs:
    """A folder of generated logs: lines(file) are what a reader must find, by cutting at LF; the
    manifest is what the generator says of each."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.files = sorted(self.folder.glob("????????.json"))
        path = self.folder / "MANIFEST.ndjson"
        self.manifest = []
        if path.exists():
            with path.open(encoding="utf-8") as lines:
                self.manifest = [json.loads(line) for line in lines]

    def lines(self, file):
        """[(offset, bytes)] of a file's lines, without their LF."""
        data = file.read_bytes()
        found, at = [], 3 if data.startswith(b"\xef\xbb\xbf") else 0
        while at < len(data):
            end = data.find(b"\n", at)
            end = len(data) if end < 0 else end
            found.append((at, data[at:end]))
            at = end + 1
        return found

    def with_verdict(self, verdict):
        return [line for line in self.manifest if line["verdict"] == verdict]

    def kept(self):
        """Bronze as it must become, in the order of the input."""
        rows = self.with_verdict("kept")
        columns = {name: pa.array([row[name] for row in rows], BRONZE.field(name).type)
                   for name in COLUMNS if name != "Date"}
        days = pa.array([row["Date"] for row in rows], pa.string()).cast(pa.date32())
        return pa.table({**columns, "Date": days}, schema=BRONZE)


def generate(smelt, folder, *, days=3, rows=1000, contracts=500, damage=0.0, violations=0.0, mixed=False,
             seed=1, month="2022-04"):
    options = ["--month", month, "--days", days, "--rows", rows, "--contracts", contracts, "--seed",
               seed]
    if damage:
        options += ["--damage", damage]
    if violations:
        options += ["--violations", violations]
    if mixed:
        options += ["--mixed"]
    smelt("generate", "logs", folder, *options)
    return Logs(folder)


def log_line(contract, seconds, app="KPLUS", number=0):
    """A line of the export, for logs made by hand. Its Id is that of no other line: the contract wants so."""
    source = {"Contract": contract, "Mac": "0C96E62FC55C", "TotalDuration": seconds, "AppName": app}
    line = {"_index": "history", "_type": "kplus", "_id": f"AX_{contract}_{app}_{seconds}_{number}", "_score": 0,
            "_source": source}
    return json.dumps(line) + "\n"


# ---- runs -------------------------------------------------------------------------------------


def run(smelt, form, logs, lake, *options, month="2022-04", **kwargs):
    """Runs a form of the pipeline; the report that it prints."""
    return json.loads(run_process(smelt, form, logs, lake, *options, month=month, **kwargs).stdout)


def run_process(smelt, form, logs, lake, *options, month="2022-04", pipeline=PIPELINE, **kwargs):
    return smelt("run", pipeline / f"{form}.yaml", "--var", f"logs={logs}", "--var", f"lake={lake}",
                 "--var", f"month={month}", "--json", *options, **kwargs)


def without_contracts(folder):
    """The pipeline in a folder of its own, for logs that need not keep its contracts."""
    made = folder / "pipeline"
    made.mkdir()
    for path in [*PIPELINE.glob("*.sql"), *PIPELINE.glob("*.yaml")]:
        lines = path.read_text().splitlines(keepends=True)
        (made / path.name).write_text("".join(line for line in lines if "contract: " not in line))
    return made


# ---- tables, by their log ---------------------------------------------------------------------


def versions(uri):
    """{version: actions} of the JSON commits that are there."""
    log = pathlib.Path(uri) / "_delta_log"
    return {int(path.stem): [json.loads(line) for line in path.read_text().splitlines() if line]
            for path in sorted(log.glob("*.json")) if re.fullmatch(r"\d{20}", path.stem)}


def data_files(uri, at=None):
    """The data files of a version, the last one if not given, in the order of the log (no checkpoint is
    read)."""
    active = {}
    for version, actions in versions(uri).items():
        if at is not None and version > at:
            break
        for action in actions:
            if "remove" in action:
                active.pop(action["remove"]["path"], None)
        for action in actions:
            if "add" in action:
                active[action["add"]["path"]] = action["add"]
    return [pathlib.Path(uri) / urllib.parse.unquote(path) for path in active]


def schema_of(uri):
    found = None
    for actions in versions(uri).values():
        for action in actions:
            if "metaData" in action:
                found = json.loads(action["metaData"]["schemaString"])
    return found


def read_table(uri, at=None):
    """All rows in their order, of version `at` if given, or None where the table is not there."""
    if not versions(uri):
        return None
    parts = [pq.read_table(path, partitioning=None) for path in data_files(uri, at)]
    if not parts:
        names = [field["name"] for field in schema_of(uri)["fields"]]
        return pa.table({name: pa.array([], pa.null()) for name in names})
    return plain(pa.concat_tables([plain(part) for part in parts]))


def plain(table):
    """Without views and dictionaries, so that tables of any writer compare."""
    def simple(kind):
        if kind in (pa.string_view(), pa.large_string()):
            return pa.string()
        if kind in (pa.binary_view(), pa.large_binary()):
            return pa.binary()
        return kind.value_type if pa.types.is_dictionary(kind) else kind
    schema = pa.schema([(field.name, simple(field.type)) for field in table.schema])
    return table.cast(schema).combine_chunks()


def hashes(uri):
    """SHA-256 of each data file, in the order of the log."""
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in data_files(uri)]


def sorted_by(table, *names):
    return table.sort_by([(name, "ascending") for name in names])


def assert_same(got, wanted, what):
    """Equal tables; else the first row that differs."""
    assert got.column_names == wanted.column_names, what
    assert got.num_rows == wanted.num_rows, f"{what}: {got.num_rows} rows, not {wanted.num_rows}"
    got, wanted = got.combine_chunks(), wanted.combine_chunks()
    if got.equals(wanted):
        return
    assert got.schema.types == wanted.schema.types, what
    for n in range(got.num_rows):
        left, right = got.slice(n, 1), wanted.slice(n, 1)
        assert left.equals(right), f"{what}: row {n}: {left.to_pylist()[0]} not {right.to_pylist()[0]}"


# ---- silver and gold by DuckDB ----------------------------------------------------------------

# The class of x among n values: x <= v[k (n - 1) div N] exactly where the number of values below x,
# rank() - 1, is at most that index; so the class is 1 + the number of k in 1 … N - 1 with
# k (n - 1) < N (rank() - 1). DuckDB's macros take no OVER: `qcut(X, N) OVER ()` becomes `qcut(X, N)`.
PROLOGUE = """
CREATE MACRO var(name) AS getvariable(name);
CREATE MACRO qcut(x, n) AS CASE
    WHEN x IS NULL THEN NULL
    WHEN rank() OVER (ORDER BY x) = 1 THEN 1
    ELSE least(n, ((rank() OVER (ORDER BY x) - 1) * n + count(x) OVER () - 2)
                  // (count(x) OVER () - 1))
    END;
CREATE SCHEMA bronze;
CREATE SCHEMA silver;
"""
QCUT = re.compile(r"(qcut\([^()]*\))\s+OVER\s*\(\s*\)")


def for_duckdb(text):
    return QCUT.sub(r"\1", text).rstrip().rstrip(";")


def duckdb_gold(bronze, month="2022-04"):
    """(silver, gold) of bronze rows by the pipeline's own SQL, sorted by Contract."""
    connection = duckdb.connect()
    connection.execute(PROLOGUE)
    connection.execute(f"SET VARIABLE month = '{month}'")
    connection.register("kept", bronze)
    connection.execute("CREATE TABLE bronze.viewing_log AS FROM kept")
    sql = {name: for_duckdb((PIPELINE / f"{name}.sql").read_text())
           for name in ("viewing", "silver", "gold")}
    connection.execute(f"CREATE VIEW silver.viewing AS {sql['viewing']}")
    connection.execute(f"CREATE TABLE silver.customer_viewing AS {sql['silver']}")
    tables = [connection.sql(f"FROM ({text}) ORDER BY Contract").to_arrow_table()
              for text in ("FROM silver.customer_viewing", sql["gold"])]
    connection.close()
    return [plain(table) for table in tables]


def python_gold(rows, month="2022-04"):
    """The same without SQL, from the definition: {Contract: (sums of five kinds, MostWatch, RFM)}.
    `rows` are dicts of bronze's columns."""
    kinds = {"TV": ["CHANNEL", "KPLUS", "KPlus", "DSHD"], "Child": ["CHILD"],
             "Movie": ["VOD", "FIMS", "BHD", "VOD_RES", "FIMS_RES", "BHD_RES", "DANET"],
             "Relax": ["RELAX"], "Sport": ["SPORT"]}
    kind_of = {app: kind for kind, apps in kinds.items() for app in apps}
    year, number = map(int, month.split("-"))
    seen = {}
    for row in rows:
        contract, seconds, kind = row["Contract"], row["TotalDuration"], kind_of.get(row["AppName"])
        if contract is None or contract == "0" or len(contract) < 2 or not kind:
            continue
        if seconds is None or seconds <= 0:
            continue
        if (row["Date"].year, row["Date"].month) != (year, number):
            continue
        one = seen.setdefault(contract, {"sums": dict.fromkeys(kinds, 0), "days": set()})
        one["sums"][kind] += seconds
        one["days"].add(row["Date"])
    report = datetime.date(year + number // 12, number % 12 + 1, 1)
    recency = {c: (report - max(one["days"])).days for c, one in seen.items()}
    frequency = {c: len(one["days"]) for c, one in seen.items()}
    monetary = {c: sum(one["sums"].values()) for c, one in seen.items()}
    classes = [qcut(values) for values in (recency, frequency, monetary)]
    gold = {}
    for contract, one in seen.items():
        most = max(kinds, key=lambda kind: one["sums"][kind])  # of equals the first
        r, f, m = (found[contract] for found in classes)
        gold[contract] = (*one["sums"].values(), most, f"{4 - r}{f}{m}")
    return gold


def qcut(values):
    """{key: class} by the definition: v[(n − 1) div 3] and v[2 (n − 1) div 3] of the sorted values."""
    if not values:
        return {}
    v = sorted(values.values())
    first, second = v[(len(v) - 1) // 3], v[2 * (len(v) - 1) // 3]
    return {key: 1 if x <= first else 2 if x <= second else 3 for key, x in values.items()}
