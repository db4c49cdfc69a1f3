"""Fields of structs in Parquet files: the cases of tests/sql/fields.test give the same results over
a Parquet file with the same columns, whichever fields are read."""
import pytest

from common import ROOT

DATA = ROOT / "tests" / "sql" / "data" / "deep.ndjson"
CASES = [block.split("\n----\n")[0].split("\n", 1)[1]
         for block in (ROOT / "tests" / "sql" / "fields.test").read_text().split("\n== ")[1:]]


@pytest.fixture(scope="module")
def parquet(program, tmp_path_factory):
    out = tmp_path_factory.mktemp("deep") / "deep.parquet"
    program("sql", f"SELECT * FROM '{DATA}'", "-o", out)
    return out


@pytest.mark.parametrize("case", range(len(CASES)))
def test_parquet_gives_what_json_gives(smelt, parquet, case):
    wanted = smelt.sql(CASES[case].replace("deep.ndjson", str(DATA)))
    assert len(wanted) > 0
    assert smelt.sql(CASES[case].replace("deep.ndjson", str(parquet))) == wanted


def test_a_field_that_a_file_has_not(smelt, parquet, tmp_path):
    """Schemas that grew: of a struct none of whose read fields are in a file, NULL is told from {}."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    new = pa.struct([("a", pa.int64()), ("z", pa.int64())])
    old = pa.struct([("a", pa.int64())])
    for name, kind, rows in (("1", new, [{"a": 1, "z": 2}, None]), ("2", old, [{"a": 3}, None])):
        pq.write_table(pa.table({"s": pa.array(rows, kind)}), tmp_path / f"{name}.parquet")
    found = smelt.sql(f"SELECT s.z AS z FROM '{tmp_path}/*.parquet'")
    assert [row["z"] for row in found] == [2, None, None, None]
    found = smelt.sql(f"SELECT s.z AS z, s IS NULL AS nothing FROM '{tmp_path}/*.parquet'")
    assert [row["nothing"] for row in found] == [False, True, False, True]
