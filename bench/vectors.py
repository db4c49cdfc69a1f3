"""What a deletion vector costs beside writing the file anew, in seconds of processor time: the measure of
src/table/table_mark.c. One file of customer-like rows; a share of them is deleted, spread evenly or as one
run; then all columns are read. Prints a line for each share. Needs build/smelt, pyarrow, and 200 MB in
TMPDIR.

    python3 bench/vectors.py [ROWS]"""
import pathlib
import random
import resource
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tests"))

from deletion_vectors import enable_vectors, vectors_added  # noqa: E402

READ = "SELECT count(id), count(name), sum(amount), min(day), max(note) FROM b.t"


def seconds(lake, *args):
    """The processor time of one run of smelt."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([ROOT / "build" / "smelt", "sql", *args, "--lake", lake, "-q"], check=True,
                   stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def make_rows(path, n):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = random.Random(1)
    pq.write_table(pa.table({
        "id": pa.array(range(n), pa.int64()),
        "name": [f"customer {rng.randrange(50_000)}" for _ in range(n)],
        "amount": [rng.random() * 100 for _ in range(n)],
        "day": pa.array([19_000 + rng.randrange(365) for _ in range(n)], pa.int32()),
        "note": ["%016x" % rng.getrandbits(64) for _ in range(n)]}), path)


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000_000
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        make_rows(folder / "rows.parquet", n)
        start = folder / "start"
        seconds(start, "--write", f"CREATE TABLE b.t AS SELECT * FROM '{folder}/rows.parquet'")
        shutil.copytree(start, folder / "marked")
        enable_vectors(folder / "marked" / "b" / "t")
        print(f"{n} rows; reading all: {min(seconds(start, READ) for _ in range(3)):.2f} s")
        print("deleted           anew: delete   read | vector: delete   read   bytes")
        for where, name in [("id % 1000 = 7", "0.1 %"), ("id % 100 = 7", "1 %"), ("id % 10 = 7", "10 %"),
                            ("id % 5 < 2", "40 %"), (f"id < {n // 10}", "10 %, one run")]:
            times = []
            for kind in ("start", "marked"):
                shutil.copytree(folder / kind, folder / "lake")
                table = folder / "lake" / "b" / "t"
                times.append(seconds(folder / "lake", "--write", f"DELETE FROM b.t WHERE {where}"))
                times.append(min(seconds(folder / "lake", READ) for _ in range(3)))
                sizes = [vector["sizeInBytes"] for vector in vectors_added(table)]
                shutil.rmtree(folder / "lake")
            print(f"{name:16} {times[0]:13.2f} {times[1]:6.2f} | {times[2]:14.2f} {times[3]:6.2f} {sum(sizes):7}")


main()
