"""Tables with the feature "clustering": the columns of delta.clustering are those of `smelt table cluster`,
every write keeps what the log says of clustered files, and files of another implementation stay."""
import json
import pathlib

import deltalake
import duckdb
import pyarrow as pa
import pytest

DOMAIN = "delta.clustering"


def rows(n, shift=0):
    return pa.table({"day": [(i * 7 + shift) % 31 for i in range(n)],
                     "name": [f"n{(i * 131 + shift) % 997:04}" for i in range(n)]})


def commits(uri):
    """The actions of each commit of the log."""
    return [[json.loads(line) for line in path.read_text().splitlines()]
            for path in sorted(pathlib.Path(uri, "_delta_log").glob("*.json"))]


def those(actions, kind):
    return [action[kind] for action in actions if kind in action]


def said(columns):
    return {"domainMetadata": {"domain": DOMAIN, "removed": False,
                               "configuration": json.dumps({"clusteringColumns": columns})}}


def make(uri, columns, provider=None):
    """A table of 3,000 rows with the feature, as another engine makes it. provider: of its file."""
    deltalake.write_deltalake(uri, rows(3000))
    actions = [action for action in commits(uri)[0] if "protocol" not in action]
    for add in those(actions, "add"):
        add.update({"clusteringProvider": provider} if provider else {})
    for metadata in those(actions, "metaData"):
        metadata["configuration"]["delta.checkpointInterval"] = "2"
    actions.insert(0, {"protocol": {"minReaderVersion": 1, "minWriterVersion": 7,
                                    "writerFeatures": ["clustering", "domainMetadata"]}})
    actions += [said(columns)] if columns else []
    first = pathlib.Path(uri, "_delta_log", f"{0:020}.json")
    first.write_text("".join(json.dumps(action) + "\n" for action in actions))
    return uri


@pytest.fixture
def table(lake):
    return make(str(lake / "shop" / "sales"), [["day"], ["name"]])


def all_rows(smelt, uri):
    return smelt.sql(f"SELECT * FROM '{uri}' ORDER BY ALL")


def write(smelt, text):
    smelt("sql", "--write", "--lake", "lake", text)


def test_the_domain_names_the_columns(smelt, table):
    before = all_rows(smelt, table)
    told = smelt.json("table", "cluster", table, "--json")
    assert told["by"] == ["day", "name"] and told["rows"] == 3000
    last = commits(table)[-1]
    assert {add["clusteringProvider"] for add in those(last, "add")} == {"smelt"}
    assert those(last, "domainMetadata") == []  # it stays as it is
    assert all_rows(smelt, table) == before
    for words in ((), ("--by", "day,name")):
        assert smelt.json("table", "cluster", table, *words, "--json")["version"] is None


@pytest.mark.parametrize("by", ["name", "name,day", "day,name,day"])
def test_other_columns_are_refused(smelt, table, by):
    done = smelt("table", "cluster", table, "--by", by, check=False)
    assert done.returncode != 0 and len(commits(table)) == 1
    assert "named twice" in done.stderr or 'is clustered by "day", "name"' in done.stderr, done.stderr


def test_a_table_that_names_none_gets_the_domain(smelt, lake):
    uri = make(str(lake / "shop" / "sales"), None)
    assert smelt("table", "cluster", uri, check=False).returncode == 2
    smelt("table", "cluster", uri, "--by", "name")
    domain, = those(commits(uri)[-1], "domainMetadata")
    assert domain["domain"] == DOMAIN and not domain["removed"]
    assert json.loads(domain["configuration"]) == {"clusteringColumns": [["name"]]}
    done = smelt("table", "cluster", uri, "--by", "day", check=False)
    assert done.returncode == 1 and 'is clustered by "name"' in done.stderr


def test_a_table_without_the_feature_gets_none(smelt, lake):
    uri = str(lake / "shop" / "plain")
    deltalake.write_deltalake(uri, rows(100))
    smelt("table", "cluster", uri, "--by", "name")
    last = commits(uri)[-1]
    assert those(last, "domainMetadata") == []
    assert all("clusteringProvider" not in add for add in those(last, "add"))


def test_writes_keep_the_provider(smelt, table):
    smelt("table", "cluster", table)
    write(smelt, "DELETE FROM shop.sales WHERE name = 'n0500'")  # version 2: a checkpoint
    assert {add["clusteringProvider"] for add in those(commits(table)[-1], "add")} == {"smelt"}
    write(smelt, "INSERT INTO shop.sales SELECT 40 AS day, 'new' AS name")
    assert all("clusteringProvider" not in add for add in those(commits(table)[-1], "add"))
    write(smelt, "INSERT INTO shop.sales SELECT 41 AS day, 'new' AS name")
    kept = duckdb.sql(f"""SELECT add.clusteringProvider, count(*) FROM
        read_parquet('{table}/_delta_log/{4:020}.checkpoint.parquet') WHERE add IS NOT NULL
        GROUP BY ALL ORDER BY ALL""").fetchall()
    assert kept == [("smelt", 1), (None, 2)]
    told = smelt.json("table", "optimize", table, "--json")
    assert told["removed_files"] == 2  # the new ones
    smelt("table", "restore", table, "--version", "1")
    assert {add["clusteringProvider"] for add in those(commits(table)[-1], "add")} == {"smelt"}


def test_files_of_another_implementation_stay(smelt, lake):
    uri = make(str(lake / "shop" / "sales"), [["day"]], provider="liquid")
    assert smelt.json("table", "cluster", uri, "--json")["version"] is None
    write(smelt, "INSERT INTO shop.sales SELECT 40 AS day, 'new' AS name")
    told = smelt.json("table", "cluster", uri, "--json")
    assert (told["removed_files"], told["rows"]) == (1, 1)
    assert len(all_rows(smelt, uri)) == 3001


def test_the_domain_has_names_of_files(smelt, lake):
    uri = make(str(lake / "shop" / "sales"), None)
    write(smelt, "ALTER TABLE shop.sales SET TBLPROPERTIES ('delta.columnMapping.mode' = 'name')")
    write(smelt, "ALTER TABLE shop.sales RENAME COLUMN name TO label")
    smelt("table", "cluster", uri, "--by", "label")
    domain, = those(commits(uri)[-1], "domainMetadata")
    assert json.loads(domain["configuration"]) == {"clusteringColumns": [["name"]]}
    assert smelt.json("table", "cluster", uri, "--json")["by"] == ["label"]
    done = smelt("sql", "--write", "--lake", "lake", "ALTER TABLE shop.sales DROP COLUMN label",
                 check=False)
    assert done.returncode != 0 and "clustering" in done.stderr, done.stderr


@pytest.mark.parametrize("columns,says", [([["a", "b"]], "nested"), ([["gone"]], "not understood"),
                                          ("day", "not understood")])
def test_odd_domains_are_refused(smelt, lake, columns, says):
    uri = make(str(lake / "shop" / "sales"), columns)
    done = smelt("table", "cluster", uri, check=False)
    assert done.returncode == 1 and says in done.stderr, done.stderr
