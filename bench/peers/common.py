"""What the peers' programs share: their arguments, their clock, and the kinds of AppName."""

import os
import pathlib
import sys
import time

source = sys.argv[1]  # a folder, or s3://bucket/folder
is_in_bucket = sys.argv[2].startswith("s3://")  # the table to work on, of which nothing is on this disk
out = pathlib.Path("." if is_in_bucket else sys.argv[2])
table = sys.argv[2] if is_in_bucket else str(out / "table")
THREADS = 2
# The window of the bench: its report date is the first day of the next month.
REPORT_DATE = "2022-05-01"
FIRST_DAY, LAST_DAY = "2022-04-01", "2022-04-30"

KINDS = {
    "TV": ["CHANNEL", "KPLUS", "KPlus", "DSHD"],
    "Child": ["CHILD"],
    "Movie": ["VOD", "FIMS", "BHD", "VOD_RES", "FIMS_RES", "BHD_RES", "DANET"],
    "Relax": ["RELAX"],
    "Sport": ["SPORT"],
}
APPS = [app for apps in KINDS.values() for app in apps]


def sql_list(items):
    return ", ".join(f"'{item}'" for item in items)


def timed(work):
    """Runs it, syncs what it wrote, and prints the seconds as the last line."""
    out.mkdir(parents=True, exist_ok=True)
    begun = time.perf_counter()
    work()
    for path in [] if is_in_bucket else [*out.rglob("*"), out]:
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)
    print(time.perf_counter() - begun)
