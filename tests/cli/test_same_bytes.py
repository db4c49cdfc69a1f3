"""The data files of the shipped pipeline have the same bytes as always, so that a change that
should not change them can prove it. Tables with the time or id of a run in their rows are left out.

The hashes hold for one version of zstd; with another one the tests are skipped. After a change that
is meant to write other bytes, see test_the_hashes."""
import ctypes
import ctypes.util
import hashlib
import json

import pytest

from common import ROOT
from customer360 import data_files, generate, run

WANTED = json.loads((ROOT / "tests" / "cli" / "same_bytes.json").read_text())
TABLES = {"delta": ["bronze/viewing_log", "silver/customer_viewing", "gold/customer360"],
          "direct": ["gold/customer360"]}


def zstd_version():
    name = ctypes.util.find_library("zstd")
    library = ctypes.CDLL(name) if name else None
    if not library:
        return None
    library.ZSTD_versionString.restype = ctypes.c_char_p
    return library.ZSTD_versionString().decode()


def hashes_of(smelt, folder, mixed):
    """{form/table: SHA-256 over its data files in the order of the log}."""
    logs = generate(smelt, folder / "logs", days=3, rows=20000, damage=0.01, mixed=mixed, seed=7)
    found = {}
    for form, tables in TABLES.items():
        run(smelt, form, logs.folder, folder / form)
        for table in tables:
            whole = hashlib.sha256()
            files = data_files(folder / form / table)
            for path in files:
                whole.update(path.read_bytes())
            assert files, table
            found[f"{form}/{table}"] = whole.hexdigest()
    return found


@pytest.mark.parametrize("kind", ["plain", "mixed"])
def test_the_hashes(smelt, tmp_path, kind):
    """New ones are what the failure prints, to be put into same_bytes.json."""
    if zstd_version() != WANTED["zstd"]:
        pytest.skip(f"the hashes are of zstd {WANTED['zstd']}, here is {zstd_version()}")
    found = hashes_of(smelt, tmp_path, kind == "mixed")
    assert found == WANTED.get(kind), json.dumps({kind: found}, indent=2)
