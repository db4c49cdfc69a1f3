"""`smelt rollback RUN` takes back what a run has published: all of its tables, or none."""
import json

import pytest

from shop import Shop, line

HERE = {"SMELT_STATE": ""}


class Kept(Shop):
    def process(self, *options, env=None, **kwargs):
        return super().process(*options, env={**HERE, **(env or {})}, **kwargs)

    def back(self, run, *options, check=True):
        return self.smelt("rollback", run, "--project", self.file, *options, env=HERE, check=check)

    def contents(self):
        return {table: sorted(map(str, self.rows(table.replace("/", "."))))
                for table in ("raw/orders", "mart/cities", "mart/best")} | {"refused/orders": self.refused()}


@pytest.fixture
def kept(smelt, tmp_path):
    made = Kept(smelt, tmp_path)
    made.put("20220401.json", line(1), line(2, "Oslo", 7), "broken\n")
    made.process("--run-id", "one")
    return made


def second(kept):
    kept.put("20220402.json", line(3, "Bern", 9), "broken too\n")
    kept.process("--run-id", "two")


def test_all_tables_go_back(kept):
    before = kept.contents()
    second(kept)
    after, versions = kept.contents(), kept.versions()
    assert all(before[table] != after[table] for table in before)
    trial = kept.back("two", "--dry-run").stdout
    assert trial.count("would be taken back to 0") == 4 and kept.versions() == versions
    done = json.loads(kept.back("two", "--json").stdout)
    assert done["run"] == "two"
    assert {t["table"]: (t["of_run"], t["restored"], t["version"]) for t in done["tables"]} == {
        name: (1, 0, 2) for name in ("raw.orders", "mart.cities", "mart.best", "refused.orders")}
    assert kept.contents() == before
    again = kept.back("two").stdout  # nothing is left to do
    assert again.count("is as before version 1 already") == 4
    assert set(kept.versions().values()) == {2}
    kept.process()  # the files of the run are new again
    assert kept.contents() == after


def test_in_one_publication(kept):
    second(kept)
    kept.back("two")
    found = set()
    for table in ("raw/orders", "mart/cities", "mart/best", "refused/orders"):
        text = (kept.lake / table / "_delta_log" / f"{2:020}.json").read_text()
        [info] = [json.loads(row)["commitInfo"] for row in text.splitlines() if "commitInfo" in row]
        assert info["operation"] == "RESTORE"
        found.add(json.dumps(info["publication"], sort_keys=True))
    assert len(found) == 1


def test_a_later_run_is_rolled_back_first(kept):
    second(kept)
    between = kept.contents()
    kept.put("20220403.json", line(4, "Rome", 8))
    kept.process("--run-id", "three")
    versions = kept.versions()
    failed = kept.back("two", check=False)
    assert failed.returncode == 4 and "raw.orders by run three" in failed.stderr
    assert kept.versions() == versions
    kept.back("three")
    assert kept.contents() == between
    kept.back("two")
    assert kept.ids() == [1, 2]


def test_another_writer_is_not_overwritten(kept):
    second(kept)
    kept.smelt("table", "delete", kept.lake / "mart/best", "--where", "city = 'Oslo'")
    versions = kept.versions()
    failed = kept.back("two", check=False)
    assert failed.returncode == 4 and "mart.best by DELETE" in failed.stderr and "mart.cities" not in failed.stderr
    assert kept.versions() == versions


def test_maintenance_may_come_between(kept):
    before = kept.contents()
    second(kept)
    kept.smelt("table", "cluster", kept.lake / "raw/orders", "--by", "city")
    kept.smelt("table", "vacuum", kept.lake / "raw/orders")
    kept.back("two")
    assert kept.contents() == before


def test_the_first_run_of_a_table_stays(kept):
    failed = kept.back("one", check=False)
    assert failed.returncode == 1 and "has made the table" in failed.stderr
    assert kept.ids() == [1, 2]


def test_what_is_not_there(kept):
    assert 'no run "nobody"' in kept.back("nobody", check=False).stderr
    kept.process("--run-id", "same")  # nothing had changed
    assert "has published nothing" in kept.back("same", check=False).stderr
    second(kept)
    kept.smelt("table", "history", kept.lake / "raw/orders")
    for path in (kept.lake / "raw/orders").glob("**/*.parquet"):
        path.unlink()
    versions = kept.versions()
    assert "gone from the store" in kept.back("two", check=False).stderr
    assert kept.versions() == versions


def test_a_run_that_was_cleared_counts_from_then(kept):
    second(kept)
    kept.smelt("runs", "one", "--project", kept.file, "--clear", env=HERE)
    kept.process("--run-id", "one")  # nothing had changed
    assert "has published nothing" in kept.back("one", check=False).stderr
