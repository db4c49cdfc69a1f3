"""`smelt validate`, `ls` and `graph`: what a pipeline is, told without running it; and which tasks a selection
means, for them and for `smelt run`."""
import json

import pytest

PIPELINE = """name: shop
schedule: 30 2 * * *
timezone: Europe/Paris
vars:
  logs: {type: uri, default: ./logs}
  lake: {type: uri, default: ./lake}
lake: lake
sources: [{name: logs, match: '.*'}]
tasks:
  - load: bronze.orders
    from: logs
    by: day
    sql: bronze.sql
    tags: [hourly, slow]
  - cluster: bronze.orders
    by: id
  - view: silver.paid
    sql: paid.sql
  - table: gold.days
    sql: days.sql
    tags: daily
  - table: gold.both
    sql: both.sql
"""
SQL = {
    "bronze.sql": "SELECT id, price, file_date AS day FROM read_json(var('logs'), columns => {id: 'BIGINT', "
                  "price: 'DOUBLE'}, file_date => true)",
    "paid.sql": "SELECT * FROM bronze.orders WHERE price > 0",
    "days.sql": "SELECT day, count(*) AS n FROM silver.paid GROUP BY day",
    "both.sql": "SELECT o.id, n FROM bronze.orders AS o JOIN gold.days USING (day)",
}
ALL = ["bronze.orders", "bronze.orders:cluster", "silver.paid", "gold.days", "gold.both"]


@pytest.fixture
def shop(tmp_path):
    (tmp_path / "shop.yaml").write_text(PIPELINE)
    for name, text in SQL.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "20240501.json").write_text('{"id":1,"price":2.5}\n{"id":2,"price":0}\n')
    return tmp_path


def refused(smelt, shop, code, *args):
    done = smelt(*args, cwd=shop, check=False)
    assert done.returncode == code, done.stderr
    return done


def listed(smelt, shop, *selection):
    done = smelt("ls", "shop.yaml", "--json", *selection, cwd=shop)
    return [task["name"] for task in json.loads(done.stdout)["tasks"]]


@pytest.mark.parametrize("selection, names", [
    ("gold.days", ["gold.days"]),
    ("gold.*", ["gold.days", "gold.both"]),
    ("@daily", ["gold.days"]),
    ("@slow+", ALL),
    ("+gold.days", ["bronze.orders", "silver.paid", "gold.days"]),
    ("silver.paid+", ["silver.paid", "gold.days", "gold.both"]),
    ("*:cluster", ["bronze.orders:cluster"]),
    ("gold.both @hourly", ["bronze.orders", "gold.both"]),
    ("GOLD.DAYS,silver.paid", ["silver.paid", "gold.days"]),
    ("", ALL),
])
def test_a_selection_means_the_same_tasks_for_ls_and_graph(smelt, shop, selection, names):
    assert listed(smelt, shop, "--select", selection) == names
    drawn = smelt("graph", "shop.yaml", "-s", selection, cwd=shop).stdout.splitlines()
    assert sorted(line.split()[0] for line in drawn) == sorted(names)


def test_a_run_does_the_tasks_of_a_selection(smelt, shop):
    smelt("run", "shop.yaml", "--select", "bronze.orders", cwd=shop)
    done = smelt("run", "shop.yaml", "--select", "+gold.days", "--json", cwd=shop)
    made = {table["name"]: table["version"] for table in json.loads(done.stdout)["tables"]}
    assert made["gold.days"] == 0 and "gold.both" not in made
    assert smelt("sql", "FROM gold.days", cwd=shop).stdout == "day,n\n2024-05-01,1\n"


@pytest.mark.parametrize("selection, what, todo", [
    ("gold.dyas", 'no task "gold.dyas" in pipeline shop', 'Did you mean "gold.days"?'),
    ("gold.days @dayly", 'no task has the tag "dayly" in pipeline shop', 'Did you mean "daily"?'),
    ("+iron.*", 'no task "iron.*" in pipeline shop', ""),
])
@pytest.mark.parametrize("command", ["ls", "graph", "run"])
def test_a_selection_that_means_nothing(smelt, shop, command, selection, what, todo):
    done = refused(smelt, shop, 1, command, "shop.yaml", "--select", selection)
    assert what in done.stderr and todo in done.stderr and done.stdout == ""
    assert not (shop / "lake").exists()


def test_ls_says_what_each_task_needs_and_when_it_is_due(smelt, shop):
    done = smelt("ls", "shop.yaml", cwd=shop, env={"SMELT_NOW_US": "1711839600000000"})  # 2024-03-30 23:00 UTC
    assert done.stdout.splitlines() == [
        "bronze.orders          load     of logs  @hourly, slow",
        "bronze.orders:cluster  cluster  of bronze.orders",
        "silver.paid            view     of bronze.orders",
        "gold.days              table    of silver.paid  @daily",
        "gold.both              table    of bronze.orders, gold.days",
        "",
        "due 30 2 * * * in Europe/Paris, next at 2024-03-31 01:00:00 UTC",  # 2:30 is not there that day
    ]


def test_the_graph_has_each_task_once_behind_all_that_it_needs(smelt, shop):
    assert smelt("graph", "shop.yaml", cwd=shop).stdout == (
        "bronze.orders  load of logs\n"
        "  bronze.orders:cluster  cluster\n"
        "  silver.paid  view\n"
        "    gold.days  table\n"
        "      gold.both  table (also needs bronze.orders)\n")
    dot = smelt("graph", "shop.yaml", "--format", "dot", cwd=shop).stdout
    assert dot.startswith('digraph "shop" {\n') and dot.endswith("}\n")
    assert '  "logs" -> "bronze.orders";\n' in dot and '  "gold.days" -> "gold.both";\n' in dot
    assert dot.count(" -> ") == 6
    mermaid = smelt("graph", "shop.yaml", "--format", "mermaid", cwd=shop).stdout
    assert mermaid.startswith("graph LR\n") and mermaid.count(" --> ") == 6
    assert "--format is text, dot or mermaid" in refused(smelt, shop, 2, "graph", "shop.yaml", "-f", "svg").stderr


def test_validate_reads_all_that_a_pipeline_names(smelt, shop):
    assert smelt("validate", "shop.yaml", cwd=shop).stdout == "ok    shop.yaml: 5 tasks\n"
    (shop / "bad.yaml").write_text(PIPELINE.replace("timezone", "timezoen"))
    (shop / "gone.yaml").write_text(PIPELINE.replace("both.sql", "bath.sql"))
    done = refused(smelt, shop, 1, "validate", "bad.yaml", "shop.yaml", "gone.yaml")
    assert done.stdout.splitlines() == [
        'FAIL  bad.yaml: a pipeline has no key "timezoen", at bad.yaml:3:1',
        "ok    shop.yaml: 5 tasks",
        done.stdout.splitlines()[2]]
    assert done.stdout.splitlines()[2].startswith("FAIL  gone.yaml: ")
    assert "bath.sql" in done.stdout and 'Did you mean "timezone"?' in done.stderr
    found = json.loads(refused(smelt, shop, 1, "validate", "shop.yaml", "bad.yaml", "--json").stdout)
    assert [(f["file"], f["valid"]) for f in found["files"]] == [("shop.yaml", True), ("bad.yaml", False)]
    assert found["files"][1]["error"]["place"] == "bad.yaml:3:1"


@pytest.mark.parametrize("name, text, place", [
    ("paid.sql", "SELECT * FROM bronze.orders WHERE", "paid.sql:1:34"),
    ("tests.yaml", "unit_tests: [{name: a, model: gold.daze}]", "tests.yaml:1:"),
    ("shop.yaml", PIPELINE.replace("30 2 * * *", "30 24 * * *"), "shop.yaml:2:11"),
])
def test_validate_tells_the_place_of_a_mistake(smelt, shop, name, text, place):
    (shop / name).write_text(text)
    assert place in refused(smelt, shop, 1, "validate", "shop.yaml").stderr
