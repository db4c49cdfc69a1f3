"""What the bench prints for a row: medians, and the ratios of wall time and of CPU seconds."""
import importlib.util
import pathlib
import xml.etree.ElementTree as ElementTree

import pytest
import yaml

from common import ROOT


@pytest.fixture
def race(monkeypatch):
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    spec = importlib.util.spec_from_file_location("race", ROOT / "bench" / "race.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def measured(wall, cpu, peak):
    return {"wall": wall, "cpu": cpu, "peak": peak, "bytes": 1_500_000, "requests": 0,
            "runs": [{"wall": wall, "cpu": cpu, "peak": peak}]}


@pytest.fixture
def row(race):
    """A peer that takes three times as long, five times the CPU and four times the memory."""
    made = {"row": "direct", "scale": 1, "rounds": 1, "wrong": [], "contestants": {
        "smelt": measured(1.0, 2.0, 100_000_000), "DuckDB": measured(3.0, 10.0, 400_000_000)}}
    race.add_ratios(made)
    return made


def test_the_results_have_ratios(row):
    assert row["contestants"]["smelt"]["ratio"] == {"wall": 1.0, "cpu": 1.0, "peak": 1.0}
    assert row["contestants"]["DuckDB"]["ratio"] == {"wall": 3.0, "cpu": 5.0, "peak": 4.0}


def test_a_row_prints_both_ratios(race, row, capsys):
    race.print_row(row)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].split() == ["smelt", "1.00", "2.00", "100", "1.5"]
    assert lines[-1].split()[:5] == ["DuckDB", "3.00", "10.00", "400", "1.5"]
    assert lines[-1].endswith("  3.00 x faster (CPU 5.00 x), 0.25 x its memory")


def test_a_wrong_answer_has_no_ratio(race, row, capsys):
    row["wrong"] = ["DuckDB"]
    race.print_row(row)
    assert capsys.readouterr().out.endswith("ITS ANSWER DIFFERS\n")


def test_a_plot_has_a_bar_of_each(race, row, tmp_path):
    race.plot([row], tmp_path / "plot.svg")
    tree = ElementTree.parse(tmp_path / "plot.svg").getroot()
    space = "{http://www.w3.org/2000/svg}"
    widths = [float(bar.get("width")) for bar in tree.iter(space + "rect")]
    assert widths == [40.0, 80.0, 120.0, 400.0]
    texts = [text.text for text in tree.iter(space + "text")]
    assert "3.00 s, CPU 10.00 s, 400 MB (3.00 x, CPU 5.00 x)" in texts
    assert "1.00 s, CPU 2.00 s, 100 MB" in texts


def test_the_shipped_pipelines_are_run_as_they_are(race, tmp_path):
    for row in ("direct", "mixed", "bronze"):
        command = race.ROWS[row][3]["smelt"](tmp_path / "logs", tmp_path / "lake")
        assert command[2].parent == ROOT / "pipelines" / "customer360", row
        assert "contract: " in command[2].read_text()


def rules_of(path):
    """The properties of the only table of a contract."""
    table, = yaml.safe_load(path.read_text())["schema"]
    return table["properties"]


def test_a_contract_is_raced_against_none_and_its_row_rules(race, monkeypatch, tmp_path):
    monkeypatch.setattr(race, "WORK", tmp_path)
    contestants = race.ROWS["contract-write"][3]
    contracts = {}
    for name, command in contestants.items():
        pipeline = yaml.safe_load(command(tmp_path / "logs", tmp_path / "lake")[2].read_text())
        load = pipeline["tasks"][0]
        assert load["load"] == "bronze.viewing_log" and pathlib.Path(load["sql"]).is_file()
        contracts[name] = load.get("contract")
    assert contracts["smelt"] is None
    shipped = ROOT / "pipelines" / "customer360" / "contracts" / "viewing_log.yaml"
    assert contracts["all-rules"] == str(shipped)
    assert rules_of(pathlib.Path(contracts["row-rules"])) == rules_of(shipped)
    assert "--memory-limit" in race.ROWS["contract-write-96"][3]["smelt"](tmp_path, tmp_path)


def test_what_a_contract_adds_is_a_share(race, row, capsys):
    row["contestants"] = {"smelt": measured(1.0, 2.0, 100_000_000), "row-rules": measured(1.1, 2.05, 100_000_000)}
    race.add_ratios(row)
    race.print_row(row)
    assert capsys.readouterr().out.endswith("adds 2.5% of CPU to smelt without a contract\n")


def test_a_rerun_answers_with_what_it_read(race):
    assert race.number_in('{"lines":{"read":0},"files":{"read":0,"skipped":30},"contracts":[]}') == (
        "0 lines, 30 files skipped")
