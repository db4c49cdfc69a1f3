"""`smelt check`: rules that hold a table against the clock (freshness, the service level latency) and against its
earlier versions (volume)."""
import json

import pytest

HEAD = "apiVersion: v3.1.0\nkind: DataContract\nid: x\nversion: 1.0.0\nstatus: draft\n"


def check(smelt, tmp_path, contract, uri, now="2022-04-03 12:00:00", code=0, words=()):
    (tmp_path / "c.yaml").write_text(HEAD + contract)
    done = smelt("check", "c.yaml", uri, "--json", "--now", now, *words, check=False)
    assert done.returncode == code, (done.stdout, done.stderr)
    return json.loads(done.stdout), done.stderr


def fresh(age, column="c"):
    return ("schema: [{name: t, properties: [{name: %s, quality: [{type: custom, engine: smelt, "
            "implementation: {freshness: %s}}]}]}]\n" % (column, age))


# ---- the clock ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind, newest, age, value, passes", [
    ("TIMESTAMP", "2022-04-03 10:30:00", "90 min", 90, True),
    ("TIMESTAMP", "2022-04-03 10:29:59.999999", "90 min", 90.00000001666667, False),
    ("TIMESTAMPTZ", "2022-04-03 13:30:00+02", "1800 s", 1800, True),
    ("TIMESTAMPTZ", "2022-04-03 11:30:00-02", "1 s", -5400, True),
    ("DATE", "2022-04-02", "1.5 d", 1.5, True),
    ("DATE", "2022-04-02", "35 h", 36, False),
    ("DATE", "2022-03-20", "2 w", 2.0714285714285716, False),
])
def test_ages(smelt, tmp_path, kind, newest, age, value, passes):
    smelt("sql", "--write", f"COPY (FROM (VALUES ('{newest}'::{kind}), (NULL), ('1999-01-01'::{kind})) v(c)) TO 't.parquet'")
    told, _ = check(smelt, tmp_path, fresh(age), "t.parquet", code=0 if passes else 3)
    rule = told["contracts"][0]
    assert rule["kind"] == "freshness" and rule["value"] == pytest.approx(value, rel=1e-12)
    assert rule["outcome"] == ("passed" if passes else "failed")
    assert rule["detail"].startswith("the newest value is 2022-0") and "it is 2022-04-03 12:00:00" in rule["detail"]


@pytest.mark.parametrize("values", ["(NULL::DATE)", "('infinity'::DATE), ('-infinity'::DATE)"])
def test_without_a_value_it_is_broken(smelt, tmp_path, values):
    smelt("sql", "--write", f"COPY (FROM (VALUES {values}) v(c)) TO 't.parquet'")
    told, _ = check(smelt, tmp_path, fresh("9 w"), "t.parquet", code=3)
    assert told["contracts"][0]["value"] is None
    assert told["contracts"][0]["detail"] == "the column has no value"


def test_a_date_that_is_far_away(smelt, tmp_path):
    smelt("sql", "--write", "COPY (SELECT '290000-01-01 (BC)'::DATE AS c) TO 't.parquet'")
    told, _ = check(smelt, tmp_path, fresh("1 d"), "t.parquet", code=3)
    assert told["contracts"][0]["value"] > 1e8


def test_a_text_has_no_age(smelt, tmp_path):
    (tmp_path / "t.json").write_text('{"c": "yesterday"}\n')
    told, err = check(smelt, tmp_path, fresh("1 d"), "t.json", code=1)
    assert "freshness is of a DATE or TIMESTAMP, and column c is of type VARCHAR" in told["error"]["message"]
    assert "c.yaml:6:" in told["error"]["place"]


def test_what_is_told(smelt, tmp_path):
    smelt("sql", "--write", "COPY (SELECT '2022-04-01 10:30:00'::TIMESTAMP AS c) TO 't.parquet'")
    (tmp_path / "c.yaml").write_text(HEAD + fresh("24 h"))
    done = smelt("check", "c.yaml", "t.parquet", "--now", "2022-04-03T12:00:00Z", check=False)
    assert done.returncode == 3
    assert "it is 49.5 h, allowed: <= 24 h: the newest value is 2022-04-01 10:30:00, and it is 2022-04-03 12:00:00" \
        in done.stderr
    line = done.stdout.splitlines()[1].split()
    assert line[:3] == ["c:freshness", "49.5", "h"] and line[-2:] == ["fail", "failed"]


def test_the_clock_is_taken_without_now(smelt, tmp_path):
    smelt("sql", "--write", "COPY (SELECT '2022-04-01'::DATE AS c) TO 't.parquet'")
    (tmp_path / "c.yaml").write_text(HEAD + fresh("100 w"))
    assert smelt("check", "c.yaml", "t.parquet", check=False).returncode == 3
    assert smelt("check", "c.yaml", "t.parquet", env={"SMELT_NOW_US": "1650000000000000"}, check=False).returncode == 0


# ---- service levels -------------------------------------------------------------------------------------------------


SLA = """\
slaProperties:
  - {property: latency, value: 1, unit: d, element: orders.day}
  - {property: generalAvailability, value: '2022-05-12T09:30:10-08:00'}
schema:
  - name: orders
    properties:
      - {name: day, logicalType: date, customProperties: [{property: smelt.onViolation, value: warn}]}
  - name: customers
    properties: [{name: id}]
"""


def test_latency_is_checked_and_other_levels_are_told(smelt, tmp_path):
    (tmp_path / "o.json").write_text('{"day": "2022-04-01"}\n')
    told, err = check(smelt, tmp_path, SLA, "o.json", words=("--table", "orders"))
    assert [(rule["rule"], rule["outcome"], rule["allowed"]) for rule in told["contracts"]] == [
        ("day:freshness", "warned", "<= 1 d")]
    assert told["not_checked"] == ["the service level generalAvailability is not checked"]
    assert "c.yaml:8:" in err and "rule day:freshness: it is 2.5 d" in err


# ---- earlier versions -----------------------------------------------------------------------------------------------


def volume(within, of=None):
    more = "" if of is None else f", of: {of}"
    return ("schema: [{name: t, properties: [{name: c}], quality: [{type: custom, engine: smelt, implementation: "
            "{volume: {within: %s%s}}}]}]\n" % (within, more))


def overwrite(smelt, n):
    """The next version of table t, with n rows."""
    rows = ", ".join(f"({i})" for i in range(n))
    smelt("sql", "--write", f"CREATE OR REPLACE TABLE 't' AS FROM (VALUES {rows}) v(c)")


@pytest.mark.parametrize("before, now, within, of, value, passes", [
    ([10], 12, "20%", None, 20, True),
    ([10], 13, "20%", None, 30, False),
    ([10], 7, "20%", None, -30, False),
    ([10, 20], 15, "1%", 2, 0, True),
    ([90, 10, 20], 15, "1%", 2, 0, True),  # older than the two
    ([5] * 9 + [12], 6, "0.1%", 7, 0, True),
    ([90] + [10] * 7, 10, "0.1%", None, 0, True),  # seven without a word
])
def test_volumes(smelt, tmp_path, before, now, within, of, value, passes):
    for n in [*before, now]:
        overwrite(smelt, n)
    told, _ = check(smelt, tmp_path, volume(within, of), "t", code=0 if passes else 3)
    rule = told["contracts"][0]
    assert rule["outcome"] == ("passed" if passes else "failed") and rule["rows"] == now
    assert rule["value"] == pytest.approx(value)


def test_only_versions_that_may_change_rows_count(smelt, tmp_path):
    overwrite(smelt, 10)
    smelt("table", "alter", "t", "ADD COLUMN d BIGINT")
    smelt("sql", "--write", "INSERT INTO 't' BY NAME SELECT 1 AS c")
    smelt("table", "optimize", "t")
    smelt("sql", "--write", "DELETE FROM 't' WHERE c > 5")
    told, _ = check(smelt, tmp_path, volume("1%"), "t", code=3)
    assert told["contracts"][0]["detail"] == "7 rows, and 11 on average in 2 versions before"  # 10 and 11


def test_without_an_earlier_version_it_is_told(smelt, tmp_path):
    overwrite(smelt, 10)
    (tmp_path / "t.json").write_text('{"c": 1}\n')
    for uri in ("t", "t.json"):
        told, err = check(smelt, tmp_path, volume("30%"), uri)
        rule = told["contracts"][0]
        assert rule["outcome"] == "unchecked" and rule["value"] is None and told["outcome"] == "passed"
        why = "is not checked: there is no earlier version whose number of rows is known"
        assert told["not_checked"] == ["rule volume " + why]
        assert err == f"smelt: warning: rule volume: it {why}\n"
        done = smelt("check", "c.yaml", uri)
        assert done.stdout.splitlines()[1].split() == ["volume", "-30", "to", "30%", "fail", "unchecked"]


def test_a_table_that_was_empty(smelt, tmp_path):
    overwrite(smelt, 3)
    smelt("sql", "--write", "DELETE FROM 't'")
    smelt("sql", "--write", "INSERT INTO 't' SELECT 1 AS c")
    told, _ = check(smelt, tmp_path, volume("30%", 1), "t", code=3)
    assert told["contracts"][0]["value"] is None  # by infinitely many percent


def test_a_log_that_was_cut(smelt, tmp_path):
    """The look back ends where the log does."""
    for n in range(1, 14):
        overwrite(smelt, n)
    assert (tmp_path / "t/_delta_log/00000000000000000010.checkpoint.parquet").exists()
    for version in range(10):
        (tmp_path / f"t/_delta_log/{version:020}.json").unlink()
    told, _ = check(smelt, tmp_path, volume("30%"), "t")
    assert told["contracts"][0]["detail"] == "13 rows, and 12 on average in 2 versions before"


def test_on_the_page(smelt, tmp_path):
    overwrite(smelt, 10)
    overwrite(smelt, 20)
    (tmp_path / "c.yaml").write_text(HEAD + volume("30%"))
    smelt("check", "c.yaml", "t", "--html", "p.html", check=False)
    page = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert "within 30% of 7 versions" in page
    assert "it is 100%, allowed: -30 to 30%: 20 rows, and 10 in the version before" in page
