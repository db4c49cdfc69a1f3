"""What the bench prints for a row: medians, and the ratios of wall time and of CPU seconds."""
import importlib.util
import xml.etree.ElementTree as ElementTree

import pytest

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
