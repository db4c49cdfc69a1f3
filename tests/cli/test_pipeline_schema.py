"""The JSON Schema of pipeline files, which editors check them by: it takes what smelt takes, has its keys and no
others, and refuses what smelt refuses for its shape."""
import json
import re

import jsonschema
import pytest
import yaml

from common import ROOT

SCHEMA = json.loads((ROOT / "docs/pipeline.schema.json").read_text(encoding="utf-8"))
CHECK = jsonschema.Draft202012Validator(SCHEMA)

HEAD = "name: p\nvars: {lake: {type: uri}, logs: {type: uri}, day: {type: date}}\nlake: lake\n"
TASK = HEAD + "sources: [{name: logs}]\nconnections: [{clickhouse: ch, url: 'http://h:1/d'}]\ntasks: [{%s}]\n"
ROOT_KEYS = HEAD + "%s\ntasks: [{table: l.t, sql: q.sql}]\n"


class Loader(yaml.SafeLoader):
    """YAML 1.2 as editors have it: a date is a text."""


Loader.yaml_implicit_resolvers = {first: [(tag, rule) for tag, rule in rules if "timestamp" not in tag]
                                  for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()}


def read(text):
    return yaml.load(text, Loader)


def pipelines():
    found = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
             for path in (ROOT / "pipelines").glob("*/*.yaml")}
    for page in (ROOT / "docs").glob("*.md"):
        blocks = re.findall(r"^```yaml\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
        found |= {f"{page.name}-{i}": text for i, text in enumerate(blocks)}
    return {name: text for name, text in found.items()
            if re.search(r"^tasks:", text, re.M) and re.search(r"^lake:", text, re.M)}


@pytest.mark.parametrize("name, text", pipelines().items(), ids=pipelines())
def test_it_takes_every_pipeline_that_is_shown(name, text):
    CHECK.validate(read(text))


def test_there_are_some():
    assert len(pipelines()) > 8 and "pipelines/customer360/delta.yaml" in pipelines()


def test_it_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_it_has_the_keys_of_the_reader():
    source = (ROOT / "src/flow/flow_yaml.c").read_text(encoding="utf-8")
    table = re.search(r"\} task_keys\[N_TASK_KEYS\] = \{(.*?)\n\};", source, re.S)
    of_reader = {"task": set(re.findall(r'= \{"(\w+)"', table[1]))}
    for what in ("root", "var", "source", "merge", "scd2"):
        function = source[source.index(f"static sm_status read_{what}("):]
        of_reader[what] = set(re.findall(r'"(\w+)"', re.search(r"keys\[\] = \{(.*?)\}", function, re.S)[1]))
    defined = SCHEMA["$defs"]
    task = defined["task"]["properties"]
    mine = {"root": SCHEMA["properties"], "var": defined["variable"]["properties"],
            "source": defined["source"]["properties"], "task": task, "merge": task["merge"]["properties"],
            "scd2": task["scd2"]["properties"]}
    assert {what: set(keys) for what, keys in mine.items()} == of_reader


BROKEN = [
    "name: p\n", "- a\n", "nam: p\n", HEAD, HEAD + "tasks: []\n", HEAD + "tasks: {}\n", HEAD + "tasks: [a]\n",
    "name: a/b\nlake: lake\nvars: {lake: {type: uri}}\ntasks: [{table: l.t, sql: q.sql}]\n",
    "name: p\nlake: lake\nvars: {lake: {type: url}}\ntasks: [{table: l.t, sql: q.sql}]\n",
    "name: p\nlake: lake\nvars: {lake: {hlep: x}}\ntasks: [{table: l.t, sql: q.sql}]\n",
    "name: p\nlake: lake\nvars: [lake]\ntasks: [{table: l.t, sql: q.sql}]\n",
    "name: p\nlake: lake\nvars: {lake: {type: uri}, 'a b': {}}\ntasks: [{table: l.t, sql: q.sql}]\n",
    "name: p\nlake: lake\nvars: {lake: {type: uri}, m: {type: month, connection: c}}\n"
    "tasks: [{table: l.t, sql: q.sql}]\n",
    *(ROOT_KEYS % keys for keys in (
        "schedules: '@daily'", "schedule: ''", "timezone: Europe/Paris", "retries: many", "retries: -1",
        "retries: 101", "retry_delay: soon", "timeout: 5", "quarantine_retention: long", "catchup: perhaps",
        "max_active_runs: 0", "schedule: '@daily'\nafter: other", "sources: {name: logs}", "sources: [{match: x}]",
        "sources: [{name: logs, copies: twice}]", "sources: [{name: logs, gone: away}]",
        "sources: [{name: logs, unknown: known}]", "sources: [{name: logs, quarantine: bad}]",
        "sources: [{name: logs, poll: often}]", "connections: [{url: 'http://h'}]",
        "connections: [{clickhouse: ch}]", "connections: [{s3: a, clickhouse: b, url: x}]",
        "connections: [{s3: a, user: x}]", "connections: [{s3: a, secret: x}]",
        "connections: [{s3: a, secret: {envs: X}}]")),
    *(TASK % keys for keys in (
        "sql: q.sql", "table: l.t", "table: l.t, view: l.v, sql: q.sql", "table: t, sql: q.sql",
        "table: l.t, sql: q.sql, form: x", "table: l.t, sql: q.sql, by: x", "table: l.t, sql: q.sql, curve: zorder",
        "load: l.t, sql: q.sql, from: logs", "load: l.t, sql: q.sql, by: day", "load: l.t, from: logs, by: day",
        "load: l.t, sql: q.sql, from: logs, by: day, evolve: all", "load: l.t, sql: q.sql, from: logs, by: day, append: day",
        "view: l.t, sql: q.sql, partition_by: a", "table: l.t, sql: q.sql, append: day, replace: day",
        "table: l.t, sql: q.sql, merge: {}", "table: l.t, sql: q.sql, merge: {key: []}",
        "table: l.t, sql: q.sql, merge: {key: a, when: b}", "table: l.t, sql: q.sql, scd2: {key: a, missing: go}",
        "table: l.t, sql: q.sql, overwrite: rows, partition_by: a", "table: l.t, sql: q.sql, overwrite: partitions",
        "table: l.t, sql: q.sql, properties: [a]", "table: l.t, sql: q.sql, tags: [a b]",
        "table: l.t, sql: q.sql, timeout: soon", "table: l.t, sql: q.sql, retries: x", "cluster: l.t",
        "cluster: l.t, by: a, curve: peano", "cluster: l.t, by: a, sql: q.sql", "optimize: l.t, retain: 7d",
        "optimize: l.t, target_size: big", "vacuum: l.t, retain: long", "command: a", "command: a b, run: x",
        "command: a, run: []", "command: a, run: x, memory: lots", "command: a, run: x, env: [a]",
        "command: a, run: x, sql: q.sql", "publish: ch.t", "publish: ch.t, from: l.t, sql: q.sql")),
]


@pytest.mark.parametrize("text", BROKEN)
def test_it_refuses_what_smelt_refuses(smelt, tmp_path, text):
    (tmp_path / "p.yaml").write_text(text)
    (tmp_path / "q.sql").write_text("SELECT 1 AS a")
    done = smelt("validate", tmp_path / "p.yaml", check=False)
    assert done.returncode == 1 and "p.yaml:" in done.stderr, done.stderr
    assert not CHECK.is_valid(read(text))


def test_there_are_fifty():
    assert len(BROKEN) >= 50
