"""Files and folders whose own names have a wildcard: a pattern that matches nothing is a name, as in
DuckDB."""
import duckdb
import pytest

from shop import PIPELINE, line

NAMES = ["a[1]", "b*c", "d?", "e [", "[f]", "g[!x]"]


def put(folder, name, number):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'{{"a":{number}}}\n')


@pytest.mark.parametrize("name", NAMES)
def test_a_file_or_a_folder_of_that_name(smelt, tmp_path, name):
    put(tmp_path / "logs", f"{name}.json", 1)
    put(tmp_path / name, "x.json", 2)
    put(tmp_path / name, "y.json", 3)
    for path, want in ((f"logs/{name}.json", [1]), (f"{name}/x.json", [2])):
        assert smelt.sql(f"FROM '{path}'") == [{"a": n} for n in want]
        assert duckdb.sql(f"FROM read_json('{tmp_path / path}')").fetchall() == [(n,) for n in want]
    assert smelt.sql(f"SELECT sum(a) AS s FROM read_json('{name}')") == [{"s": 5}]
    assert smelt.sql(f"SELECT sum(a) AS s FROM read_json('{name}', match => 'json$')") == [{"s": 5}]


@pytest.mark.parametrize("name, other", [("a[1]", "a1"), ("b*c", "bxc"), ("d?", "dx"), ("[f]", "f")])
def test_what_the_pattern_matches_comes_first(smelt, tmp_path, name, other):
    put(tmp_path, f"{name}.json", 1)
    put(tmp_path, f"{other}.json", 2)
    ours = smelt.sql(f"SELECT a FROM '{name}.json' ORDER BY a")
    assert {"a": 2} in ours
    assert [(row["a"],) for row in ours] == duckdb.sql(
        f"SELECT a FROM read_json('{tmp_path / name}.json') ORDER BY a").fetchall()


def test_nothing_of_either(smelt, tmp_path):
    (tmp_path / "d").mkdir()
    for path in ("d/x*.json", "d/[x].json", "d/" + "[x]" * 200 + ".json", "d/*/"):
        done = smelt("sql", f"FROM read_json('{path}')", check=False)
        assert done.returncode == 1 and f'there is no file at "{path[:80]}' in done.stderr, done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_a_source_and_a_lake(shop, tmp_path, name):
    logs = shop.logs.rename(tmp_path / name)
    (logs / "20220401.json").write_text(line(1) + line(2))
    without = PIPELINE.replace("    match: '^[^.].*[.]json(.gz)?$'\n", "")
    assert without != PIPELINE
    shop.write(without)
    shop.sql("orders", "SELECT id, item.city AS city, item.n AS n, file_date AS day FROM read_json(var('logs'), "
             "columns => {id: 'BIGINT', item: 'STRUCT(city VARCHAR, n BIGINT)'}, file_date => true, "
             "bad_lines => 'quarantine', validate => 'all')")
    shop.lake = tmp_path / f"lake {name}"
    assert shop.run(logs=logs)["lines"]["read"] == 5
    assert shop.smelt.sql(f"SELECT count(*) AS n FROM '{shop.lake}/raw/orders'") == [{"n": 4}]
    assert shop.smelt.sql("SELECT count(*) AS n FROM raw.orders", "--lake", shop.lake) == [{"n": 4}]
    assert not shop.run(logs=logs)["published"]
