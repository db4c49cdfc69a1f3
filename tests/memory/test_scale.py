"""Ten times the input of the bench, 10.4 GB of logs: both pipelines write the same data files
without a limit, within 512 MB and within 96 MB, and the process never exceeds its limit. Nor does
`smelt table cluster` of the 60 million rows within 96 MB.

The logs are made once and kept in BENCH_DIR (build/bench), where `make bench SCALE=10` uses them
too. The seconds are printed, with their ratio to the run without a limit and the time per line
beside that of the small input. They do not decide the test."""
import json
import os
import pathlib
import shutil
import subprocess

import pytest

from common import ROOT, smelt_path
from customer360 import PIPELINE, hashes
from peak import run_within

WORK = pathlib.Path(os.environ.get("BENCH_DIR", ROOT / "build" / "bench"))
LIMITS = {"512MB": 512_000_000, "96MB": 96_000_000}
SMALL, LARGE = (6, 1_000_000), (30, 2_000_000)

pytestmark = pytest.mark.soak


def logs(days, rows):
    """As bench/race.py makes and keeps them."""
    folder = WORK / f"logs-plain-{days}x{rows}"
    if not (folder / "done").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        subprocess.run([smelt_path(), "generate", "logs", folder / "logs", "--month", "2022-04",
                        "--days", str(days), "--rows", str(rows), "--seed", "1"], check=True)
        (folder / "done").touch()
    return folder / "logs"


def run(form, source, lake, *options):
    """The report of a run. Its peak is the process's own (VmHWM): what wait4() gives a child of a large
    process starts at its parent's."""
    shutil.rmtree(lake, ignore_errors=True)
    command = [smelt_path(), "run", PIPELINE / f"{form}.yaml", "--var", f"logs={source}", "--var",
               f"lake={lake}", "--var", "month=2022-04", "--json", *options]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def written(lake):
    """The hashes of the data files of each table that was written."""
    return {table: hashes(lake / table)
            for table in ("bronze/viewing_log", "silver/customer_viewing", "gold/customer360")
            if (lake / table).exists()}


def cluster(table, n_rows):
    """Sorts the table within the smallest limit: the rows stay."""
    def sums():
        sql = f"SELECT count(*) AS n, sum(TotalDuration) AS s, count(DISTINCT Date) AS d FROM '{table}'"
        return json.loads(subprocess.run([smelt_path(), "sql", sql, "--format", "json"], check=True,
                                         capture_output=True).stdout)

    before = sums()
    done = run_within(smelt_path(), "table", "cluster", table, "--by", "Contract,Date", "--memory-limit", "96MB",
                      "--json", most=LIMITS["96MB"])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == n_rows
    assert sums() == before


@pytest.mark.parametrize("form", ["direct", "delta"])
def test_ten_gigabytes(form, tmp_path):
    lake = tmp_path / "lake"
    n_small, n_large = SMALL[0] * SMALL[1], LARGE[0] * LARGE[1]
    small = run(form, logs(*SMALL), lake)
    source = logs(*LARGE)
    free = run(form, source, lake)
    wanted = written(lake)
    assert free["lines"]["kept"] == n_large and wanted["gold/customer360"]
    grown = free["seconds"] / n_large / (small["seconds"] / n_small)
    print(f"\n{form}: unlimited {free['seconds']:.1f} s, {free['peak_bytes'] / 1e6:.0f} MB; "
          f"a line takes {grown:.2f} x what it takes in a tenth of the input")
    for name, limit in LIMITS.items():
        bound = run(form, source, lake, "--memory-limit", name)
        print(f"{form}: {name} {bound['seconds']:.1f} s, {bound['seconds'] / free['seconds']:.2f} x, "
              f"{bound['peak_bytes'] / 1e6:.0f} MB")
        assert bound["peak_bytes"] <= limit
        assert written(lake) == wanted
    if form == "delta":
        cluster(lake / "bronze/viewing_log", n_large)

