"""Races smelt and its peers on the same files and prints ratios.

For each row of ROWS every contestant runs once to warm up, then ROUNDS times, in turn (A B C A B C
...), so that a machine that slows down slows all. Each run is a process of its own:

  wall    measured by the peer itself, from before it opens the input until its output is synced,
          without its start and imports; for smelt the whole command
  cpu     user + system seconds of the whole process, from the kernel
  peak    largest resident memory of the process
  bytes   size of the files that it wrote

The medians are compared. Only ratios within one run of this program mean anything. The ratio of wall
time tells how soon the work is done, that of CPU seconds what it costs. All contestants of a row must
give the same answer (count, sums and a hash that does not depend on order, computed by DuckDB from what
they wrote). A wrong answer has no time and fails the bench. The results go to bench/results/DATE.json,
with a plot beside it.
"""

import argparse
import datetime
import json
import multiprocessing
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
SMELT = ROOT / "build" / "smelt"
WORK = pathlib.Path(os.environ.get("BENCH_DIR", ROOT / "build" / "bench"))
MONTH = "2022-04"
MEASURES = ("wall", "cpu", "peak")

# ---- inputs ----------------------------------------------------------------------------------


def logs(kind, scale):
    """The folder of generated logs; made once and kept."""
    days, rows = (6, 1_000_000) if scale == 1 else (30, 2_000_000)
    folder = WORK / f"logs-{kind}-{days}x{rows}"
    if not (folder / "done").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        subprocess.run(
            [SMELT, "generate", "logs", folder / "logs", "--month", MONTH, "--days", str(days),
             "--rows", str(rows), "--seed", "1"] + (["--mixed"] if kind == "mixed" else []),
            check=True)
        (folder / "done").touch()
    return folder / "logs"


def bronze(scale):
    """Bronze Parquet files for the row that begins there, written by DuckDB for all contestants."""
    folder = WORK / f"bronze-{scale}"
    if not (folder / "done").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        subprocess.run([sys.executable, HERE / "peers" / "duckdb_bronze.py",
                        logs("plain", scale), folder / "bronze"], check=True,
                       stdout=subprocess.DEVNULL)
        (folder / "done").touch()
    return folder / "bronze"


def bronze_table(scale):
    """Bronze as a Delta table of one file a day, as smelt loads it."""
    folder = WORK / f"bronze-table-{scale}"
    if not (folder / "done").exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([str(word) for word in smelt_run("delta", "--task", "bronze.viewing_log")(
            logs("plain", scale), folder)], check=True, stdout=subprocess.DEVNULL)
        (folder / "done").touch()
    return folder / "bronze" / "viewing_log"


def big_log(scale):
    """The log of a table of a million files (scale 10: ten million); made once and kept."""
    files = 1_000_000 * scale
    folder = WORK / f"log-{files}"
    if not (folder / "done").exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, ROOT / "tests" / "big_log.py", folder / "table",
                        "--files", str(files), "--commits", "50"], check=True)
        (folder / "done").touch()
    return folder / "table"


def orders(n_files, n_rows):
    """A table of orders in so many files, and what the rows about changing a table need beside it
    (orders.py); a scale of 10 has ten times as many rows in a file."""
    def made(scale):
        folder = WORK / f"orders-{n_files}x{n_rows * scale}"
        if not (folder / "done").exists():
            shutil.rmtree(folder, ignore_errors=True)
            with open(WORK / "stderr.log", "a") as log:  # delta-rs warns of each column of text
                subprocess.run([sys.executable, HERE / "orders.py", folder, str(n_files),
                                str(n_rows * scale)], check=True, stderr=log)
            (folder / "done").touch()
        return folder
    return made


def apart(function, *args):
    """Calls a function in a process of its own: the kernel counts this one's memory as the first of each
    contestant's, so it must stay small."""
    process = multiprocessing.get_context("spawn").Process(target=function, args=args)
    process.start()
    process.join()
    if process.exitcode != 0:
        raise SystemExit(f"bench: {function.__name__}{args[1:]} failed")


def bucket_files(env):
    """The bucket as a file system of pyarrow."""
    from pyarrow import fs
    return fs.S3FileSystem(access_key=env["AWS_ACCESS_KEY_ID"], secret_key=env["AWS_SECRET_ACCESS_KEY"],
                           endpoint_override=env["AWS_ENDPOINT_URL"], region=env["AWS_REGION"])


def put_folder(env, folder, place):
    from pyarrow import fs
    bucket = bucket_files(env)
    bucket.delete_dir_contents(place, missing_dir_ok=True)
    fs.copy_files(folder, place, destination_filesystem=bucket)


def get_folder(env, place, folder):
    from pyarrow import fs
    fs.copy_files(place, folder, source_filesystem=bucket_files(env))


class Bucket:
    """MinIO on loopback with the logs in a bucket, from the first time that it is asked for."""
    server = None

    @classmethod
    def start(cls):
        if cls.server is None:
            sys.path.insert(0, str(ROOT / "tests"))
            import s3
            data = WORK / "minio" / "data"
            (data / "bench").mkdir(parents=True, exist_ok=True)  # a folder is a bucket
            cls.server = s3.Server("minio", data)
            os.environ.update(cls.server.env, AWS_ALLOW_HTTP="true")

    @classmethod
    def logs(cls, scale):
        cls.start()
        name = f"s3://bench/{logs('plain', scale).parent.name}"
        done = subprocess.run([SMELT, "sql", f"SELECT 1 FROM read_json('{name}/MANIFEST.ndjson') LIMIT 1"],
                              capture_output=True)
        if done.returncode != 0:
            days, rows = (6, 1_000_000) if scale == 1 else (30, 2_000_000)
            subprocess.run([SMELT, "generate", "logs", name, "--month", MONTH, "--days", str(days),
                            "--rows", str(rows), "--seed", "1"], check=True)
        return name

    @classmethod
    def put(cls, folder, place):
        """Puts a folder in the place of what is there."""
        apart(put_folder, cls.server.env, str(folder), f"bench/{place}")

    @classmethod
    def get(cls, place, folder):
        apart(get_folder, cls.server.env, f"bench/{place}", str(folder))

    @classmethod
    def count(cls, begins):
        """Requests of a run that is not timed, which go through a proxy that counts them."""
        if cls.server is None:
            return 0
        if begins:
            import s3_proxy
            cls.proxy = s3_proxy.Proxy(cls.server)
            os.environ.update(cls.proxy.env)
            return 0
        os.environ.update(cls.server.env)
        cls.proxy.stop()
        return cls.proxy.faults.asked

    @classmethod
    def stop(cls):
        if cls.server is not None:
            cls.server.stop()


# ---- contestants -----------------------------------------------------------------------------


def peer(name):
    return lambda source, out: [sys.executable, HERE / "peers" / f"{name}.py", source, out]


SHIPPED = ROOT / "pipelines" / "customer360"


def smelt_run(form, *more, pipeline=None):
    """A run of the shipped pipeline, under its contracts, or of one in its place."""
    return lambda source, out: [SMELT, "run", pipeline() if pipeline else SHIPPED / f"{form}.yaml", "--quiet",
                                "--var", f"logs={source}", "--var", f"lake={out}", "--var", f"month={MONTH}", *more]


def with_bronze_contract(name, contract):
    """The shipped delta form, written beside the results, with another contract for bronze, or without one."""
    def written():
        lines = []
        for line in (SHIPPED / "delta.yaml").read_text().splitlines():
            if line.endswith("contract: contracts/viewing_log.yaml"):
                line = f"    contract: {contract}" if contract else ""
            lines.append(line.replace("sql: ", f"sql: {SHIPPED}/")
                         .replace("contract: contracts/", f"contract: {SHIPPED}/contracts/"))
        path = WORK / f"{name}.yaml"
        path.write_text("\n".join(lines) + "\n")
        return path
    return written


def smelt_gold_of_bronze(source, out):
    return [SMELT, "run", HERE / "bronze_to_gold" / "pipeline.yaml", "--quiet",
            "--var", f"bronze={source}", "--var", f"lake={out}", "--var", f"month={MONTH}"]


def on_a_table(command, before=()):
    """A contestant that works on a copy of the table, which is not timed. Nor are the commands `before`,
    for one that has done its work already, and to which something was added since."""
    def prepare(source, out):
        shutil.copytree(source / "table" if (source / "table").is_dir() else source, out / "table")
        for first in before:
            run_unwatched(first(source, out))
        sync_folder(out)

    def run(source, out):
        return command(source, out)
    run.prepare = prepare
    return run


def beside_the_bucket(source_of):
    """An input on this disk, for contestants that work in the bucket."""
    def made(scale):
        Bucket.start()
        return source_of(scale)
    return made


def in_the_bucket(command):
    """The same with the table in the bucket."""
    def place(out):
        return f"{out.parent.name}/{out.name}"

    def prepare(source, out):
        Bucket.put(source / "table", place(out))
        out.mkdir(parents=True)

    def run(source, out):
        return command(source, f"s3://bench/{place(out)}")

    def fetch(out):
        Bucket.get(place(out), out / "table")
    run.prepare, run.fetch = prepare, fetch
    return run


def run_unwatched(command):
    with open(WORK / "stderr.log", "a") as log:
        subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL, stderr=log)


def table_of(out):
    """A peer's second argument is a folder with the table in it, or the table's place in a bucket."""
    return out if isinstance(out, str) else out / "table"


def smelt_cluster(columns):
    return lambda source, out: [SMELT, "table", "cluster", table_of(out), "--by", columns]


def peer_cluster(columns):
    return lambda source, out: [*peer("deltalake_cluster")(source, out), columns]


def smelt_compact(source, out):
    return [SMELT, "table", "optimize", table_of(out)]


def smelt_merge(source, out):
    return [SMELT, "sql", "--write", f"""MERGE INTO '{out}/table' t USING '{source}/changes.parquet' s
        ON t.id = s.id WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"""]


GOLD = """SELECT count(*), sum(TVDuration), sum(ChildDuration), sum(MovieDuration),
  sum(RelaxDuration), sum(SportDuration), bit_xor(hash(Contract, TVDuration, ChildDuration,
  MovieDuration, RelaxDuration, SportDuration, MostWatch, RFM))
  FROM (SELECT Contract::VARCHAR AS Contract, TVDuration::BIGINT AS TVDuration,
    ChildDuration::BIGINT AS ChildDuration, MovieDuration::BIGINT AS MovieDuration,
    RelaxDuration::BIGINT AS RelaxDuration, SportDuration::BIGINT AS SportDuration,
    MostWatch::VARCHAR AS MostWatch, RFM::VARCHAR AS RFM FROM read_parquet({files}))"""
BRONZE = """SELECT count(*), sum(TotalDuration), sum(Score), bit_xor(hash("Index", "Type", Id,
  Score, AppName, Contract, Mac, TotalDuration, "Date"))
  FROM (SELECT "Index"::VARCHAR AS "Index", "Type"::VARCHAR AS "Type", Id::VARCHAR AS Id,
    Score::BIGINT AS Score, AppName::VARCHAR AS AppName, Contract::VARCHAR AS Contract,
    Mac::VARCHAR AS Mac, TotalDuration::BIGINT AS TotalDuration, "Date"::DATE AS "Date"
    FROM read_parquet({files}))"""

ORDERS = """SELECT count(*), sum(id), sum(amount), bit_xor(hash(id, day, customer, city, amount, note))
  FROM (SELECT id, day, customer::VARCHAR AS customer, city::VARCHAR AS city, amount,
    note::VARCHAR AS note FROM read_parquet({files}))"""

def s3_duckdb(name):
    """DuckDB's reader of S3 comes as a package that pins an older DuckDB."""
    home = subprocess.run([ROOT / "tools" / "setup", "path", "duckdb-delta"], capture_output=True,
                          text=True, check=True).stdout.strip()
    return lambda source, out: [f"{home}/bin/python", HERE / "peers" / f"{name}.py", source, out]


def fetch_door(source, out):
    return [ROOT / "build" / "bench_fetch", source]


# name: input, answer's query, folder of smelt's table, contestants
ROWS = {
    "direct": (lambda s: logs("plain", s), GOLD, "gold/customer360", {
        "smelt": smelt_run("direct"), "DuckDB": peer("duckdb_direct"),
        "Polars": peer("polars_direct"), "chDB": peer("chdb_direct")}),
    # Polars refuses a number that is spelt as a string under a schema of integers.
    "mixed": (lambda s: logs("mixed", s), GOLD, "gold/customer360", {
        "smelt": smelt_run("direct"), "DuckDB": peer("duckdb_direct"),
        "chDB": peer("chdb_direct")}),
    "bronze": (lambda s: logs("plain", s), BRONZE, "bronze/viewing_log", {
        "smelt": smelt_run("delta", "--task", "bronze.viewing_log"),
        "DuckDB": peer("duckdb_bronze"), "Polars": peer("polars_bronze"),
        "chDB": peer("chdb_bronze")}),
    "gold": (bronze, GOLD, "gold/customer360", {
        "smelt": smelt_gold_of_bronze, "DuckDB": peer("duckdb_gold"),
        "Polars": peer("polars_gold"), "chDB": peer("chdb_gold")}),
}

# Z-order by two columns, and the same again when nothing has changed.
BRONZE_KEYS = "Date,Contract"
for again in (False, True):
    ROWS["cluster-again" if again else "cluster"] = (bronze_table, BRONZE, "table", {
        name: on_a_table(command, [command] if again else []) for name, command in
        (("smelt", smelt_cluster(BRONZE_KEYS)), ("delta-rs", peer_cluster(BRONZE_KEYS)))})

# Tables that are changed: small files are joined, 1 % of the rows of 10 million come new, and a table of
# thirty days that is clustered gets another day.
small_files, big_files, days = orders(1000, 6_000), orders(20, 500_000), orders(30, 200_000)
ROWS["compact"] = (small_files, ORDERS, "table", {
    "smelt": on_a_table(smelt_compact), "delta-rs": on_a_table(peer("deltalake_compact"))})
ROWS["merge"] = (big_files, ORDERS, "table", {
    "smelt": on_a_table(smelt_merge), "delta-rs": on_a_table(peer("deltalake_merge"))})
ROWS["one-more-day"] = (days, ORDERS, "table", {
    name: on_a_table(command, [command, peer("deltalake_append")]) for name, command in
    (("smelt", smelt_cluster("day,customer")), ("delta-rs", peer_cluster("day,customer")))})

# Parsing alone, one thread each: no files; the answer is the number of rows that was printed.
PARSE_SCHEMA = ("STRUCT(_index VARCHAR, _type VARCHAR, _id VARCHAR, _score BIGINT, _source "
                "STRUCT(AppName VARCHAR, Contract VARCHAR, Mac VARCHAR, TotalDuration BIGINT))")


def parse_smelt(source, out):
    return [ROOT / "build" / "bench_parse", PARSE_SCHEMA, *sorted(source.glob("*.json"))]


ROWS["parse"] = (lambda s: logs("plain", s), None, None, {
    "smelt": parse_smelt, "DuckDB": peer("duckdb_parse"), "Polars": peer("polars_parse"),
    "chDB": peer("chdb_parse")})

# The log alone: a table is opened and its files are listed, or one of them is read.
ROWS["open"] = (big_log, None, None, {
    "smelt": lambda source, out: [SMELT, "table", "show", source, "--json"],
    "delta-rs": peer("delta_rs_open")})


def ids(source):
    """The range of a query that reads one file."""
    sys.path.insert(0, str(ROOT / "tests"))
    import big_log as made
    return made.one_range(int(source.parent.name.split("-")[1]))


def smelt_range(source, out):
    first, last = ids(source)
    return [SMELT, "sql", "--format", "ndjson",
            f"SELECT count(*) AS n FROM '{source}' WHERE id BETWEEN {first} AND {last}"]


ROWS["range"] = (big_log, None, None, {
    "smelt": smelt_range,
    "delta-rs": lambda source, out: [*peer("delta_rs_range")(source, out), *ids(source)]})

def smelt_check(contract):
    return lambda source, out: [SMELT, "check", HERE / "contracts" / f"{contract}.yaml",
                                f"{source}/*.parquet", "--json"]


# Rules of a contract over bronze: a column is unique, and rules of single rows.
ROWS["unique"] = (bronze, None, None, {"smelt": smelt_check("unique"), "Polars": peer("polars_unique"),
                                        "Polars series": peer("polars_unique_series")})
ROWS["contract"] = (bronze, None, None, {"smelt": smelt_check("rows"), "Patito": peer("patito_rows")})

# What contracts cost: smelt loads bronze without one, with its rules of single rows, and with all of its rules.
CONTRACTS = {"smelt": None, "row-rules": HERE / "contracts" / "bronze_rows.yaml",
             "all-rules": SHIPPED / "contracts" / "viewing_log.yaml"}
for row, limit in (("contract-write", ()), ("contract-write-96", ("--memory-limit", "96MB"))):
    ROWS[row] = (lambda s: logs("plain", s), BRONZE, "bronze/viewing_log", {
        name: smelt_run("delta", "--task", "bronze.viewing_log", *limit,
                        pipeline=with_bronze_contract(name, contract))
        for name, contract in CONTRACTS.items()})

# A whole month is run once more, and nothing has changed.
def lakes(scale):
    """What each form of the shipped pipeline makes of the logs."""
    folder = WORK / f"lakes-{scale}"
    for form in ("delta", "direct"):
        if not (folder / form / "done").exists():
            shutil.rmtree(folder / form, ignore_errors=True)
            subprocess.run([str(word) for word in smelt_run(form)(logs("plain", scale), folder / form)], check=True)
            (folder / form / "done").touch()
    return folder


def smelt_again(form, *more):
    def command(source, out):
        scale = int(source.name.removeprefix("lakes-"))
        return [*smelt_run(form, *more)(logs("plain", scale), source / form), "--json"]
    return command


ROWS["rerun"] = (lakes, None, None, {
    "smelt": smelt_again("delta"), "direct": smelt_again("direct"),
    "smelt-96": smelt_again("delta", "--memory-limit", "96MB"),
    "direct-96": smelt_again("direct", "--memory-limit", "96MB")})

# The same from a bucket, and the rate at which objects come when nobody looks at them.
for kind, query, table, run in [
        ("direct", GOLD, "gold/customer360", smelt_run("direct")),
        ("bronze", BRONZE, "bronze/viewing_log", smelt_run("delta", "--task", "bronze.viewing_log"))]:
    ROWS[f"s3-{kind}"] = (Bucket.logs, query, table, {
        "smelt": run, "DuckDB": s3_duckdb(f"duckdb_{kind}"), "Polars": peer(f"polars_{kind}"),
        "fetching": fetch_door})
ROWS["s3-compact"] = (beside_the_bucket(small_files), ORDERS, "table", {
    "smelt": in_the_bucket(smelt_compact), "delta-rs": in_the_bucket(peer("deltalake_compact"))})
ROWS["s3-cluster"] = (beside_the_bucket(days), ORDERS, "table", {
    "smelt": in_the_bucket(smelt_cluster("day,customer")),
    "delta-rs": in_the_bucket(peer_cluster("day,customer"))})

# ---- one run ---------------------------------------------------------------------------------


def sync_folder(folder):
    for path in folder.rglob("*"):
        if path.is_file():
            handle = os.open(path, os.O_RDONLY)
            os.fsync(handle)
            os.close(handle)


def number_in(line):
    """The number that a contestant prints, which may be a member of an object."""
    if not line.startswith("{"):
        return line
    shown = json.loads(line)
    if "lines" in shown:  # of a run: what it read
        return f"{shown['lines']['read']} lines, {shown['files']['skipped']} files skipped"
    if "contracts" in shown:  # of a check: the rows that break its rules, added up
        return str(sum(rule["violations"] for rule in shown["contracts"]))
    return str(shown.get("files", shown.get("n", line)))


def run_once(contestant, source, out):
    """Runs one contestant; what it took, by the kernel's own account of that process."""
    shutil.rmtree(out, ignore_errors=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    getattr(contestant, "prepare", lambda *_: None)(source, out)
    command = contestant(source, out)
    read_end, write_end = os.pipe()
    begun = time.perf_counter()
    with open(WORK / "stderr.log", "a") as log:
        child = subprocess.Popen([str(c) for c in command], stdout=write_end, stderr=log)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        text = pipe.read()
    _, status, used = os.wait4(child.pid, 0)
    wall = time.perf_counter() - begun
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise SystemExit(f"bench: {command[0]} ... exited with {child.returncode}; see {WORK}/stderr.log")
    lines = text.strip().splitlines()
    result = {"cpu": used.ru_utime + used.ru_stime, "peak": used.ru_maxrss * 1024, "wall": wall,
              "printed": number_in(lines[0]) if lines else ""}
    if str(command[0]).endswith("python"):  # a peer's own clock: its last line
        result["wall"] = float(lines[-1])
    elif pathlib.Path(command[0]).name.startswith("bench_"):
        result.update(json.loads(lines[0]))
        result["printed"] = str(result["rows"])
        result["wall"] = result["seconds"]
    return result


def data_files(out, table):
    """The Parquet files of a contestant's answer, those of the newest version in a Delta table."""
    folder = out / table if (out / table).is_dir() else out
    if (folder / "_delta_log").is_dir():
        from deltalake import DeltaTable
        uris = (uri.removeprefix("file://") for uri in DeltaTable(str(folder)).file_uris())
        return [uri if uri.startswith("/") else str(folder / uri) for uri in uris]
    return [str(p) for p in sorted(folder.rglob("*.parquet"))]


def answer_of(out, table, query):
    """In a process of its own: the kernel counts this one's memory as the first of each contestant's,
    so it must stay small."""
    done = subprocess.run([sys.executable, __file__, "--answer", str(out), table, query],
                          check=True, capture_output=True, text=True)
    answer, size = json.loads(done.stdout)
    return answer, size


def print_answer(out, table, query):
    import duckdb
    files = data_files(out, table)
    con = duckdb.connect()
    con.execute("SET threads = 2")
    result = con.execute(query.format(files=json.dumps(files).replace('"', "'"))).fetchone()
    print(json.dumps([[str(v) for v in result], sum(os.path.getsize(f) for f in files)]))


def race(name, rounds, scale, keep):
    source_of, query, table, contestants = ROWS[name]
    source = source_of(scale)
    runs = {c: [] for c in contestants}
    answers, sizes, requests = {}, {}, {}
    for turn in range(rounds + 1):
        for contestant, command in contestants.items():
            out = WORK / "out" / name / contestant
            if turn == 0:
                Bucket.count(True)
            result = run_once(command, source, out)
            if turn == 0:
                requests[contestant] = Bucket.count(False)
            if contestant == "fetching":
                answers[contestant], sizes[contestant] = answers["smelt"], 0
            if turn == 0 and contestant != "fetching":  # warms the cache; its answer is checked
                getattr(command, "fetch", lambda _: None)(out)
                answers[contestant], sizes[contestant] = (
                    answer_of(out, table, query) if query else ([result["printed"]], 0))
                print(f"  {name}: {contestant} answers {answers[contestant][:2]} ...",
                      file=sys.stderr)
            elif turn > 0:
                runs[contestant].append(result)
            if not keep:
                shutil.rmtree(out, ignore_errors=True)
    wrong = [c for c in contestants if answers[c] != answers["smelt"]]
    row = {"row": name, "scale": scale, "rounds": rounds, "wrong": wrong, "contestants": {}}
    for c, measured in runs.items():
        row["contestants"][c] = {
            "bytes": sizes[c], "answer": answers[c], "requests": requests[c],
            **{k: statistics.median(m[k] for m in measured) for k in MEASURES},
            "runs": measured}
    add_ratios(row)
    return row


def add_ratios(row):
    """What each contestant took as a multiple of what smelt took."""
    smelt = row["contestants"]["smelt"]
    for c in row["contestants"].values():
        c["ratio"] = {k: c[k] / smelt[k] for k in MEASURES}


# ---- what is shown ---------------------------------------------------------------------------


def print_row(row):
    print(f"\n{row['row']} (scale {row['scale']}, median of {row['rounds']})")
    print(f"  {'':8} {'wall s':>8} {'CPU s':>8} {'peak MB':>9} {'MB out':>8}   smelt is")
    for name, c in row["contestants"].items():
        ratio = "" if name in ("smelt", "fetching") else (
            f"{c['ratio']['wall']:.2f} x faster (CPU {c['ratio']['cpu']:.2f} x), "
            f"{1 / c['ratio']['peak']:.2f} x its memory")
        if name in CONTRACTS and name != "smelt":
            ratio = f"adds {100 * (c['ratio']['cpu'] - 1):.1f}% of CPU to smelt without a contract"
        if name in row["wrong"]:
            ratio = "ITS ANSWER DIFFERS"
        print(f"  {name:8} {c['wall']:8.2f} {c['cpu']:8.2f} {c['peak'] / 1e6:9.0f} "
              f"{c['bytes'] / 1e6:8.1f}   {ratio}")
        if c["requests"]:
            print(f"  {'':8} {c['requests']:.0f} requests")
        if name == "fetching":
            print(f"  {'':8} smelt keeps {100 * c['ratio']['wall']:.0f}% of this rate")
        elif "gb_per_s" in c["runs"][0]:
            rate, share = (statistics.median(run[k] for run in c["runs"])
                           for k in ("gb_per_s", "share"))
            print(f"  {'':8} {rate:.2f} GB/s on one core, {100 * share:.0f}% of memcpy's rate")


def bar(y, height, width, colour):
    return f'<rect x="90" y="{y}" width="{width:.1f}" height="{height}" fill="{colour}"/>'


def plot(rows, path):
    """Bars of wall time with a thin one of CPU seconds below, smelt's on top of each row, as SVG."""
    lines, y = [], 30
    for row in rows:
        most = max(max(c["wall"], c["cpu"]) for c in row["contestants"].values())
        lines.append(f'<text x="10" y="{y}" font-weight="bold">{row["row"]}</text>')
        y += 8
        for name, c in row["contestants"].items():
            colours = ("#d9480f", "#ffa94d") if name == "smelt" else ("#868e96", "#ced4da")
            widths = [400 * c[k] / most for k in ("wall", "cpu")]
            ratio = "" if name in ("smelt", "fetching") else (
                f" ({c['ratio']['wall']:.2f} x, CPU {c['ratio']['cpu']:.2f} x)")
            lines += [bar(y, 10, widths[0], colours[0]), bar(y + 10, 4, widths[1], colours[1]),
                      f'<text x="10" y="{y + 12}">{name}</text>'
                      f'<text x="{96 + max(widths):.1f}" y="{y + 12}">{c["wall"]:.2f} s, '
                      f'CPU {c["cpu"]:.2f} s, {c["peak"] / 1e6:.0f} MB{ratio}</text>']
            y += 19
        y += 24
    path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" width="800" height="{y}" '
                    f'font-family="sans-serif" font-size="12">\n' + "\n".join(lines) +
                    "\n</svg>\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--row", default="all", choices=["all", "s3", *ROWS])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=int, default=1, choices=[1, 10])
    parser.add_argument("--keep", action="store_true")
    args = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    names = [name for name in ROWS
             if args.row in ("all", name) or (args.row == "s3" and name.startswith("s3-"))]
    rows = []
    try:
        for name in names:
            rows.append(race(name, args.rounds, args.scale, args.keep))
            print_row(rows[-1])
    finally:
        Bucket.stop()
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
    (results / f"{stamp}.json").write_text(json.dumps(
        {"date": stamp, "machine": {"cores": os.cpu_count(), "system": platform.release()},
         "rows": rows}, indent=1) + "\n")
    plot(rows, results / f"{stamp}.svg")
    if any(row["wrong"] for row in rows):
        raise SystemExit("bench: a contestant's answer differs")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--answer"]:
        print_answer(pathlib.Path(sys.argv[2]), *sys.argv[3:])
    else:
        main()
