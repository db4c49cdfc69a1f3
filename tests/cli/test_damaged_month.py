"""A damaged month: what a run tells of each rule is what the generator's manifest says; where a rule fails,
nothing is published; where rows leave, those that are published and those in the quarantine are the input; and
after a fix a replay gives the table of a month without contracts, row for row.

The generator says of each line what a reader must make of it. The rules of the shipped contracts are written
here once more, in Python, and applied to that."""
import collections
import datetime
import json
import re
import shutil

import pytest

from common import ROOT
from customer360 import (COLUMNS, PIPELINE, generate, python_gold, read_table, run, run_process, versions,
                         without_contracts)

DAYS, ROWS = 6, 7000
ROW_RULES = {"Id:required": lambda r: r["Id"] is None,
             "Score:minimum": lambda r: r["Score"] is not None and r["Score"] < 0,
             "TotalDuration:minimum": lambda r: r["TotalDuration"] is not None and r["TotalDuration"] < 0,
             "TotalDuration:maximum": lambda r: r["TotalDuration"] is not None and r["TotalDuration"] > 86400}
UNIQUE = "Id unique within a Date"
GOLD_KEYS = ["Contract", "TVDuration", "ChildDuration", "MovieDuration", "RelaxDuration", "SportDuration",
             "MostWatch", "RFM"]
# Lines of one more file: values at the edges, in rows that break a rule and in rows that do not. (One that is
# too large to be summed is of no app that counts.)
TEXTS = ['a "quoted" text', "back\\slash / and 'quotes'", "tab\tline\nend\r", "\x01\x7f", "\ufeff\ufffe\uffff",
         "e\u0301 \u202eright\u202c \U0001f600\U0010ffff", "", " spaces ", "NULL", "null", '{"a": 1}', "1e3"]
EDGES = [{"_id": f"edge {i} {score} {seconds}", "_score": score,
          "_source": {"Contract": f"EDGE{i}", "Mac": text, "TotalDuration": seconds,
                      "AppName": "VOD" if seconds < 2**62 else "OTHER"}}
         for i, text in enumerate(TEXTS)
         for score, seconds in [(0, 5), (-2**63, 5), (2**63 - 1, 5), (0, -2**63), (0, 2**63 - 1), (-1, 86401)]]


class Month:
    def __init__(self, smelt, folder, violations=0.004):
        self.logs = generate(smelt, folder / "logs", days=DAYS, rows=ROWS, contracts=600, damage=0.03, mixed=True,
                             violations=violations, seed=9)
        self.folder, self.manifest = self.logs.folder, self.logs.manifest
        self.add("20220407.json", EDGES)
        self.add("20220408.json", [])

    def add(self, name, lines):
        """A file by hand, of lines that are kept."""
        (self.folder / name).write_text("".join(json.dumps(line, ensure_ascii=n % 2 == 0) + "\n"
                                                for n, line in enumerate(lines)), encoding="utf-8")
        for n, line in enumerate(lines, 1):
            source = line.get("_source", {})
            self.manifest.append({"file": name, "line": n, "verdict": "kept", "Index": None, "Type": None,
                                  "Id": line.get("_id"), "Score": line.get("_score"),
                                  **{key: source.get(key) for key in ("AppName", "Contract", "Mac", "TotalDuration")},
                                  "Date": f"{name[:4]}-{name[4:6]}-{name[6:8]}"})

    def verdicts(self, verdict):
        return [entry for entry in self.manifest if entry["verdict"] == verdict]

    def kept(self):
        return [{**{name: entry[name] for name in COLUMNS}, "Date": datetime.date.fromisoformat(entry["Date"])}
                for entry in self.verdicts("kept")]

    def first_rule(self):
        """[(entry, the rule by which its row leaves, or None)]: by the first of its own, else as a duplicate."""
        seen, found = set(), []
        for entry in self.verdicts("kept"):
            rule = next((name for name, is_broken in ROW_RULES.items() if is_broken(entry)), None)
            key = entry["Id"], entry["Date"]
            if rule is None and entry["Id"] is not None:
                rule = UNIQUE if key in seen else None
                seen.add(key)
            found.append((entry, rule))
        return found

    def wanted(self):
        """{(table, rule): violations} of the shipped contracts; those of silver are gold's too."""
        kept = self.kept()
        ids = collections.Counter((row["Id"], row["Date"]) for row in kept if row["Id"] is not None)
        rules = {name: sum(map(is_broken, kept)) for name, is_broken in ROW_RULES.items()}
        rules[UNIQUE] = sum(ids.values()) - len(ids)
        rules["Date within the window"] = rules["a kept line in each file"] = 0
        found = {("bronze.viewing_log", name): n for name, n in rules.items()}
        n_odd = sum(not re.search("^[A-Z0-9]{2,}$", contract) for contract in python_gold(kept))
        for table in ("silver.customer_viewing", "gold.customer360"):
            found[table, "Contract is well formed"] = n_odd
        return found


@pytest.fixture(scope="module")
def month(program, tmp_path_factory):
    return Month(program, tmp_path_factory.mktemp("month"))


def pipeline(folder, change=lambda name, text: text):
    """The shipped pipeline in a folder of its own, with files as `change` makes them."""
    made = folder / "pipeline"
    shutil.copytree(PIPELINE, made)
    for path in made.rglob("*.*"):
        path.write_text(change(path.name, path.read_text()))
    return made


def counted(report):
    return {(rule["table"], rule["rule"]): rule["violations"] for rule in report["contracts"]}


def rows_of(table):
    return sorted((json.dumps(row, default=str, sort_keys=True) for row in table.to_pylist()))


def all_versions(lake):
    return {str(log.parent.relative_to(lake)): max(versions(log.parent)) for log in lake.rglob("_delta_log")}


# ---- what is told --------------------------------------------------------------------------------

@pytest.mark.parametrize("form, threads", [("delta", 1), ("delta", 3), ("direct", 1), ("direct", 3)])
def test_rules_are_counted_as_the_manifest_says(program, month, lake, form, threads):
    report = run(program, form, month.folder, lake, "--threads", threads)
    wanted = month.wanted()
    assert min(wanted["bronze.viewing_log", rule] for rule in [*ROW_RULES, UNIQUE]) > 5
    assert wanted["gold.customer360", "Contract is well formed"] > 5
    tables = ["bronze.viewing_log", "silver.customer_viewing", "gold.customer360"][::2 if form == "direct" else 1]
    assert counted(report) == {(rule["table"], rule["rule"]): wanted.get((rule["table"], rule["rule"]), 0)
                               for rule in report["contracts"]}
    assert {table for table, _ in counted(report)} == set(tables)
    assert [rule["rule"] for rule in report["contracts"] if rule["table"] == "bronze.viewing_log"] == [
        rule for table, rule in wanted if table == "bronze.viewing_log"]
    gold = python_gold(month.kept())
    assert {rule["table"]: rule["rows"] for rule in report["contracts"]} == {
        table: len(month.kept()) if table.startswith("bronze") else len(gold) for table in tables}
    assert report["lines"] == {"read": len(month.manifest), "kept": len(month.kept()),
                               "quarantined": len(month.verdicts("refused")), "blank": len(month.verdicts("blank"))}
    warned = {(r["table"], r["rule"]) for r in report["contracts"] if r["outcome"] == "warned"}
    assert warned == {key for key, n in wanted.items() if n and key[0] in tables}


# ---- nothing is published --------------------------------------------------------------------------

def strict(rule):
    """One rule of a contract that warned, or counted up to a share, fails."""
    file, at, old = {
        "Id:required": ("viewing_log", "        required: true\n", ", value: warn}"),
        "Score:minimum": ("viewing_log", "        logicalTypeOptions: {minimum: 0}\n", ", value: warn}"),
        "TotalDuration": ("viewing_log", "{minimum: 0, maximum: 86400}\n", ", value: warn}"),
        UNIQUE: ("viewing_log", f"name: {UNIQUE}\n", 'value: "0.1%"'),
        "Contract is well formed": ("customer360", "name: Contract is well formed\n", "severity: warning"),
    }[rule]

    def change(name, text):
        if name != f"{file}.yaml":
            return text
        head, cut, tail = text.partition(at)
        new = {"severity: warning": "severity: error", 'value: "0.1%"': 'value: "0.01%"'}.get(old, ", value: fail}")
        assert cut and old in tail
        return head + cut + tail.replace(old, new, 1)
    return change


@pytest.mark.parametrize("form", ["delta", "direct"])
@pytest.mark.parametrize("rule", ["Id:required", "Score:minimum", "TotalDuration", UNIQUE,
                                  "Contract is well formed"])
def test_a_rule_that_fails_publishes_nothing(smelt, tmp_path, month, lake, form, rule):
    """A month is there; the damaged one takes nothing away from it, and adds nothing. All rules are told still."""
    logs = tmp_path / "logs"
    generate(smelt, logs, days=2, rows=500, contracts=100, seed=4)
    run(smelt, form, logs, lake)
    before = all_versions(lake)
    files = sorted(lake.rglob("*/_delta_log/*"))
    assert set(before) >= {"gold/customer360"}
    shutil.copytree(month.folder, logs, dirs_exist_ok=True)
    made = pipeline(tmp_path, strict(rule))
    done = run_process(smelt, form, logs, lake, pipeline=made, check=False)
    assert done.returncode == 3, done.stderr
    report = json.loads(done.stdout)
    assert report["error"]["status"] == "CONTRACT" and rule in report["error"]["message"]
    assert report["tables"] == []
    assert all_versions(lake) == before and sorted(lake.rglob("*/_delta_log/*")) == files
    wanted = month.wanted()
    told = counted(report)
    assert told == {key: wanted.get(key, 0) for key in told}
    failed = {r["rule"] for r in report["contracts"] if r["outcome"] == "failed"}
    assert failed == {name for name in (*ROW_RULES, UNIQUE, "Contract is well formed") if name.startswith(rule)}


BROKEN_FILES = {
    "no line can be read": ("20220409.json", '{"_id":\n[1]\n \n', "a kept line in each file", 1),
    "a file of May": ("20220501.json", '{"_id":"m"}\n', "Date within the window", 1),
    "an empty file": ("20220409.json", "", None, 0),
    "a blank file": ("20220409.json", " \n\n", None, 0),
}


@pytest.mark.parametrize("form", ["delta", "direct"])
@pytest.mark.parametrize("what", BROKEN_FILES)
def test_rules_of_files(smelt, tmp_path, month, lake, form, what):
    """The window is taken out of the pipeline: with it a file of another month is not opened."""
    name, text, rule, n = BROKEN_FILES[what]
    logs = tmp_path / "logs"
    shutil.copytree(month.folder, logs)
    (logs / name).write_text(text)
    made = pipeline(tmp_path, lambda name, text: text.replace("    window: month\n", ""))
    done = run_process(smelt, form, logs, lake, pipeline=made, check=False)
    report = json.loads(done.stdout)
    files = {r["rule"]: r["value"] for r in report["contracts"] if r["table"] == "bronze.viewing_log" and "value" in r}
    assert files == {"Date within the window": 0, "a kept line in each file": 0, **({rule: n} if rule else {})}
    assert done.returncode == (3 if rule else 0), done.stderr
    assert bool(list(lake.rglob("_delta_log"))) == (not rule)


# ---- rows that leave ---------------------------------------------------------------------------------

def leaving(name, text):
    """All rules that bronze has of rows, and that of gold's contracts, take rows away."""
    if name == "viewing_log.yaml":
        text = text.replace("smelt.onViolation, value: warn", "smelt.onViolation, value: quarantine")
        text = re.sub(r"        customProperties:\n +- .*failAbove.*\n +- .*sharePer.*\n",
                      "        customProperties: [{property: smelt.onViolation, value: quarantine}]\n", text)
        assert text.count("quarantine") == 4
    if name == "customer360.yaml":
        text = text.replace("severity: warning", "customProperties: [{property: smelt.onViolation, value: quarantine}]")
        text = text.replace("mustBe: 0\n      - name: something", "mustBeLessThan: 1\n      - name: something")
        assert text.count("quarantine") == 1
    return text


def of_bronze_only(name, text):
    return text if name == "customer360.yaml" else leaving(name, text)


def of_gold_only(name, text):
    return text if name == "viewing_log.yaml" else leaving(name, text)


def from_raw(row):
    made = json.loads(row["raw"])
    assert len(row["raw"]) == row["raw_bytes"]
    return {**made, "Date": datetime.date.fromisoformat(made["Date"])}


@pytest.mark.parametrize("threads", [1, 3])
def test_what_is_published_and_what_left_are_the_input(smelt, tmp_path, month, lake, threads):
    made = pipeline(tmp_path, of_bronze_only)
    report = run(smelt, "delta", month.folder, lake, "--threads", threads, pipeline=made)
    judged = month.first_rule()
    loaded = {table["name"]: table["version"] for table in report["tables"]}["bronze.viewing_log"]
    bronze = read_table(lake / "bronze/viewing_log", loaded).to_pylist()
    rows = month.kept()
    assert bronze == [row for row, (_, rule) in zip(rows, judged) if rule is None], "in the order of the input"
    there = {(row["file"].rpartition("/")[2], row["line"]): row
             for row in read_table(lake / "quarantine/viewing_log").to_pylist()}
    refused = month.verdicts("refused")
    left = {(entry["file"], entry["line"]): (rule, row) for row, (entry, rule) in zip(rows, judged) if rule}
    assert set(there) == set(left) | {(entry["file"], entry["line"]) for entry in refused}
    assert len(left) > 300 and {rule for rule, _ in left.values()} == {*ROW_RULES, UNIQUE}
    for place, (rule, row) in left.items():
        assert (there[place]["reason"], from_raw(there[place])) == (rule, row), place
    for entry in refused:
        row = there[entry["file"], entry["line"]]
        assert (row["reason"], row["column"]) == (entry["reason"], entry.get("column"))
    assert python_gold(bronze) == {row["Contract"]: tuple(row[key] for key in GOLD_KEYS[1:])
                                   for row in read_table(lake / "gold/customer360").to_pylist()}


@pytest.mark.parametrize("form", ["delta", "direct"])
def test_rows_of_gold_that_leave(smelt, tmp_path, month, lake, form):
    """The direct form has no table but gold; a view takes no rows away, which is told."""
    refused = pipeline(tmp_path / "bronze", of_bronze_only)
    if form == "direct":
        told = run_process(smelt, form, month.folder, lake, pipeline=refused, check=False)
        assert told.returncode == 1 and "is a view" in json.loads(told.stdout)["error"]["message"]
    run(smelt, form, month.folder, lake, pipeline=pipeline(tmp_path, gold_may_have_fewer))
    gold = [dict(zip(GOLD_KEYS, (contract, *row))) for contract, row in python_gold(month.kept()).items()]
    there = read_table(lake / "gold/customer360").to_pylist()
    left = read_table(lake / "quarantine/customer360").to_pylist()
    assert {row["reason"] for row in left} == {"Contract is well formed"} and len(left) > 5
    assert all(not re.search("^[A-Z0-9]{2,}$", json.loads(row["raw"])["Contract"]) for row in left)
    both = there + [json.loads(row["raw"]) for row in left]
    assert sorted(both, key=str) == sorted(gold, key=str)
    assert all(re.search("^[A-Z0-9]{2,}$", row["Contract"]) for row in there)


def gold_may_have_fewer(name, text):
    """As rows leave gold, it has fewer than silver."""
    text = of_gold_only(name, text)
    return text.replace("        mustBe: 0\n      - name: something", "        mustBeLessThan: 1\n      - name: something")


# ---- after a fix ---------------------------------------------------------------------------------------

def replay(smelt, made, form, table, logs, lake):
    return json.loads(smelt("replay", made / f"{form}.yaml", table, "--var", f"logs={logs}", "--var", f"lake={lake}",
                            "--var", "month=2022-04", "--json").stdout)


def marks(lake, table="viewing_log"):
    return collections.Counter((row["reason"], row["replayed"] is not None)
                               for row in read_table(lake / "quarantine" / table).to_pylist())


@pytest.fixture(scope="module")
def clean(program, month, tmp_path_factory):
    """Bronze and gold of the month without contracts."""
    folder = tmp_path_factory.mktemp("clean")
    run(program, "delta", month.folder, folder / "lake", pipeline=without_contracts(folder))
    return {name: rows_of(read_table(folder / "lake" / name)) for name in ("bronze/viewing_log", "gold/customer360")}


def test_a_replay_gives_the_table_of_a_clean_month(smelt, tmp_path, month, lake, clean):
    """Rules are taken back: all rows that left come, each marked, and the lines that cannot be read stay."""
    made = pipeline(tmp_path, of_bronze_only)
    run(smelt, "delta", month.folder, lake, pipeline=made)
    n_left = sum(rule is not None for _, rule in month.first_rule())
    shutil.copytree(PIPELINE, made, dirs_exist_ok=True)
    done = replay(smelt, made, "delta", "bronze.viewing_log", month.folder, lake)
    assert (done["replayed"], done["refused"], done["not_replayed"], done["rows"]) == (
        n_left, len(month.verdicts("refused")), 0, n_left)
    assert rows_of(read_table(lake / "bronze/viewing_log")) == clean["bronze/viewing_log"]
    reasons = collections.Counter((entry["reason"], False) for entry in month.verdicts("refused"))
    reasons.update((rule, True) for _, rule in month.first_rule() if rule)
    assert marks(lake) == reasons
    before = all_versions(lake)
    done = replay(smelt, made, "delta", "bronze.viewing_log", month.folder, lake)
    assert (done["replayed"], done["rows"]) == (0, 0) and all_versions(lake) == before
    run(smelt, "delta", month.folder, lake, pipeline=made)
    assert rows_of(read_table(lake / "gold/customer360")) == clean["gold/customer360"]
    assert rows_of(read_table(lake / "bronze/viewing_log")) == clean["bronze/viewing_log"]


@pytest.mark.parametrize("is_replayed", [False, True])
def test_lines_that_are_mended_at_their_source(smelt, tmp_path, lake, is_replayed):
    """The mended files replace their dates: nothing of the damaged ones stays, replayed or not."""
    logs, mended = tmp_path / "logs", tmp_path / "mended"
    options = {"days": 4, "rows": 2500, "contracts": 300, "mixed": True, "seed": 12}
    damaged = generate(smelt, logs, damage=0.05, violations=0.02, **options)
    generate(smelt, mended, **options)
    made = pipeline(tmp_path, of_bronze_only)
    run(smelt, "delta", logs, lake, pipeline=made)
    assert marks(lake).total() > len(damaged.with_verdict("refused")) > 50
    wanted = {}
    for name in ("damaged", "mended"):  # without rules, what each month is
        folder = tmp_path / f"of {name}"
        folder.mkdir()
        run(smelt, "delta", logs if name == "damaged" else mended, folder / "lake", pipeline=without_contracts(folder))
        wanted[name] = [rows_of(read_table(folder / "lake" / table)) for table in ("bronze/viewing_log", "gold/customer360")]
    for path in mended.iterdir():
        shutil.copy(path, logs / path.name)
    shutil.copytree(PIPELINE, made, dirs_exist_ok=True)
    if is_replayed:  # by what the quarantine has of them
        assert replay(smelt, made, "delta", "bronze.viewing_log", logs, lake)["replayed"] > 50
        assert rows_of(read_table(lake / "bronze/viewing_log")) == wanted["damaged"][0]
    run(smelt, "delta", logs, lake, pipeline=made)
    assert [rows_of(read_table(lake / table)) for table in ("bronze/viewing_log", "gold/customer360")] == wanted["mended"]
    assert marks(lake).total() == 0
    done = replay(smelt, made, "delta", "bronze.viewing_log", logs, lake)
    assert (done["replayed"], done["refused"], done["not_replayed"]) == (0, 0, 0)


@pytest.mark.parametrize("form", ["delta", "direct"])
def test_rows_of_gold_come_back(smelt, tmp_path, month, lake, clean, form):
    made = pipeline(tmp_path, gold_may_have_fewer)
    run(smelt, form, month.folder, lake, pipeline=made)
    n_left = marks(lake, "customer360").total()
    shutil.copytree(PIPELINE, made, dirs_exist_ok=True)
    done = replay(smelt, made, form, "gold.customer360", month.folder, lake)
    assert (done["replayed"], done["refused"], done["not_replayed"], done["rows"]) == (n_left, 0, 0, n_left)
    assert rows_of(read_table(lake / "gold/customer360")) == clean["gold/customer360"]
    before = all_versions(lake)
    assert replay(smelt, made, form, "gold.customer360", month.folder, lake)["replayed"] == 0
    assert all_versions(lake) == before
    assert marks(lake, "customer360") == {("Contract is well formed", True): n_left}
