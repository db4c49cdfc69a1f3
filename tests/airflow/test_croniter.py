"""A year of schedules in several zones against croniter, by which Airflow reads schedules. croniter says which
times the clocks must show; on days on which the clocks are changed the rule of docs/schedule.md counts: a time
that does not exist fires at the first instant after, one that comes twice fires once, at the first."""
import datetime
import json
import pathlib
import subprocess
import zoneinfo

import pytest

from common import ROOT

pytestmark = pytest.mark.airflow
ZONES = ["UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]
SCHEDULES = [
    "0 0 * * *", "30 2 * * *", "15 1 * * *", "0 3 * * *", "0 * * * *", "*/30 * * * *", "5,35 1-3 * * *",
    "0 6 * * 1-5", "0 6 * * mon-fri", "0 0 * * 0", "0 0 * * 7", "0 0 1 * *", "0 0 31 * *", "0 0 29 2 *",
    "0 12 1,15 * *", "0 0 1 1 *", "0 0 1 */3 *", "10 4 1-7 * *", "0 0 13 * 5", "0 0 1 * mon", "0 8-18/2 * * *",
    "59 23 * * *", "0 2 * 3,10 *", "30 2 * 3,10 0", "0 0 * jan,jul *", "7 7 7 7 *", "0 */5 * * *", "45 1 * * 6,0",
    "30 0 0 * * *", "0 30 2 * * *", "15,45 0 12 * * 3",
]
YEAR = 2024


CRONITER = """
import croniter, datetime, json, sys
year, schedules = json.loads(sys.argv[1])
told = {}
for schedule in schedules:
    found = croniter.croniter(schedule, datetime.datetime(year - 1, 12, 30), second_at_beginning=True)
    told[schedule] = []
    while (at := found.get_next(datetime.datetime)) < datetime.datetime(year + 1, 1, 3):
        told[schedule].append(at.isoformat())
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def times_shown():
    """{schedule: what the clocks show when it fires, in the year and a little around it}."""
    path = subprocess.run([ROOT / "tools/setup", "path", "airflow"], text=True, check=True, capture_output=True).stdout
    told = subprocess.run([pathlib.Path(path.strip()) / "bin/python", "-c", CRONITER, json.dumps([YEAR, SCHEDULES])],
                          text=True, check=True, capture_output=True).stdout
    return {schedule: [datetime.datetime.fromisoformat(at) for at in times] for schedule, times in
            json.loads(told).items()}


def instant(shown, zone):
    at = shown.replace(tzinfo=zone).astimezone(datetime.timezone.utc)
    if at.astimezone(zone).replace(tzinfo=None) == shown:
        return at
    low = at - datetime.timedelta(hours=3)  # the clocks are put forward over it: find the instant
    before = low.astimezone(zone).utcoffset()
    while low.astimezone(zone).utcoffset() == before:
        low += datetime.timedelta(minutes=1)
    return low


def date_of(at, zone):
    local = at.astimezone(zone).replace(tzinfo=None)
    return local.strftime("%Y-%m-%d") if local.time() == datetime.time() else local.isoformat()


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_year(smelt, tmp_path, times_shown, schedule, zone):
    (tmp_path / "q.sql").write_text("SELECT 1 AS x")
    (tmp_path / "p.yaml").write_text(
        f"name: p\nschedule: '{schedule}'\ntimezone: {zone}\nvars: {{lake: {{type: uri, default: ./l}}}}\n"
        "lake: lake\ntasks: [{view: a.b, sql: q.sql}]\n")
    told = smelt("backfill", "p.yaml", "--from", f"{YEAR}-01-01", "--to", f"{YEAR}-12-31", "--dry-run").stdout
    tz = zoneinfo.ZoneInfo(zone)
    wanted = sorted({instant(shown, tz) for shown in times_shown[schedule]})
    dates = [date_of(at, tz) for at in wanted]
    assert told.split() == [date for date in dates if date.startswith(str(YEAR))]
    assert len(told.split()) > 0
