"""Tables of others that say what their rows must be: smelt keeps to it, and its rows pass at the
writer that declared it."""
import deltalake
import pyarrow
import pytest

from common import load_days


def make_table(uri, constraints):
    """A table of delta-rs with CHECK constraints."""
    schema = pyarrow.schema([("id", pyarrow.int64()), ("amount", pyarrow.int64()),
                             ("day", pyarrow.date32())])
    deltalake.write_deltalake(uri, pyarrow.Table.from_pylist([], schema))
    table = deltalake.DeltaTable(uri)
    for name, expression in constraints.items():
        table.alter.add_constraint({name: expression})
    return uri


def rows_of(uri):
    table = deltalake.DeltaTable(uri).to_pyarrow_table()
    return sorted((row["id"], row["amount"]) for row in table.to_pylist())


def test_constraints_of_deltalake(smelt, lake):
    uri = make_table(str(lake / "raw/t"), {"positive": "amount > 0", "id_or_day": "id < 100"})
    load_days(smelt, lake, [{"id": 1, "amount": 5}, {"id": 2, "amount": 6}])
    assert rows_of(uri) == [(1, 5), (2, 6)]
    version = deltalake.DeltaTable(uri).version()
    for bad, shown in (({"id": 3, "amount": -5}, "amount = -5"),
                       ({"id": 3, "amount": None}, "amount = NULL")):
        done = load_days(smelt, lake, [{"id": 4, "amount": 4}, bad], check=False)
        assert done.returncode == 1
        assert 'constraint "positive" (amount > 0) does not hold for a row: ' + shown in done.stderr
        assert deltalake.DeltaTable(uri).version() == version
        (lake.parent / "in" / "20220402.json").unlink()
    load_days(smelt, lake, [{"id": 7, "amount": 7}])
    assert rows_of(uri) == [(1, 5), (2, 6), (7, 7)]
    more = pyarrow.table({"id": pyarrow.array([8], pyarrow.int64()),
                          "amount": pyarrow.array([8], pyarrow.int64()),
                          "day": pyarrow.array([None], pyarrow.date32())})
    deltalake.write_deltalake(uri, more, mode="append")
    assert rows_of(uri)[-1] == (8, 8)
    with pytest.raises(Exception, match="failed validation"):
        bad = more.set_column(1, "amount", pyarrow.array([-1], pyarrow.int64()))
        deltalake.write_deltalake(uri, bad, mode="append")


def test_a_constraint_that_is_not_understood(smelt, lake):
    uri = make_table(str(lake / "raw/t"), {"even": "amount / 2 > 1"})
    done = load_days(smelt, lake, [{"id": 1, "amount": 5}], check=False)
    assert done.returncode == 1
    assert 'constraint "even"' in done.stderr
    assert rows_of(uri) == []
    assert list((lake / "raw/t").glob("part-*c000.zstd.parquet")) == []
