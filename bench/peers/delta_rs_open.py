"""delta-rs: opens a table and lists its files."""

from deltalake import DeltaTable

from common import source, timed


def work():
    print(len(DeltaTable(source).file_uris()))


timed(work)
