"""`smelt generate logs`: the same options give the same bytes, and each option does what it says."""
import collections
import hashlib
import json

import pytest


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("options", [[], ["--mixed"], ["--mixed", "--damage", "0.3", "--violations", "0.3"]],
                         ids=["plain", "mixed", "damaged"])
def test_bytes_do_not_depend_on_threads(smelt, tmp_path, options):
    for threads in (1, 2, 7):
        smelt("generate", "logs", str(threads), "--days", 2, "--rows", 20_000, "--threads", threads,
              *options)
    first = digests(tmp_path / "1")
    assert len(first) == (3 if "--damage" in options else 2)
    assert digests(tmp_path / "2") == digests(tmp_path / "7") == first


def test_another_seed_gives_other_lines(smelt, tmp_path):
    for seed in (1, 2):
        smelt("generate", "logs", str(seed), "--days", 1, "--rows", 10, "--seed", seed)
    assert digests(tmp_path / "1") != digests(tmp_path / "2")


def test_defaults_are_those_of_the_help(smelt, tmp_path):
    smelt("generate", "logs", "a", "--days", 1)
    smelt("generate", "logs", "b", "--days", 1, "--seed", 1, "--rows", 20_000, "--month", "2022-04",
          "--contracts", 1_000_000)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")


@pytest.mark.parametrize("month, n_days", [("2022-02", 28), ("2024-02", 29), ("2022-04", 30),
                                           ("2022-12", 30)])
def test_days_fit_the_month_where_none_are_named(smelt, tmp_path, month, n_days):
    smelt("generate", "logs", "logs", "--month", month, "--rows", 1)
    names = sorted(path.name for path in (tmp_path / "logs").iterdir())
    assert names == [f"{month.replace('-', '')}{day:02}.json" for day in range(1, n_days + 1)]


def test_a_day_more_than_the_month_has_is_refused(smelt, tmp_path):
    done = smelt("generate", "logs", "logs", "--month", "2022-04", "--days", 31, check=False)
    assert done.returncode == 2 and "31" in done.stderr
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize("options", [["--rows", "0"], ["--rows=0"]])
def test_no_rows_are_empty_files(smelt, tmp_path, options):
    smelt("generate", "logs", "logs", "--days", 2, *options)
    assert [path.stat().st_size for path in (tmp_path / "logs").iterdir()] == [0, 0]


@pytest.mark.parametrize("option", ["--days", "--contracts", "--threads"])
def test_zero_is_refused_where_it_means_nothing(smelt, option):
    done = smelt("generate", "logs", "logs", "--rows", 1, option, 0, check=False)
    assert done.returncode == 2, done.stderr
    assert "0" in done.stderr


def test_every_kind_of_damage_appears(smelt, tmp_path):
    smelt("generate", "logs", "logs", "--days", 1, "--rows", 5000, "--damage", 1)
    kinds = collections.Counter()
    with (tmp_path / "logs/MANIFEST.ndjson").open(encoding="utf-8") as manifest:
        for line in manifest:
            entry = json.loads(line)
            kinds[entry["damage"]] += 1
    assert len(kinds) == 42
    assert min(kinds.values()) > 60


def test_violations_are_lines_that_are_kept(smelt, tmp_path):
    """Each kind breaks one rule of the shipped contracts, and the other lines are as without it."""
    smelt("generate", "logs", "logs", "--days", 1, "--rows", 6000, "--violations", 0.1, "--seed", 3)
    smelt("generate", "logs", "clean", "--days", 1, "--rows", 6000, "--seed", 3)
    entries = [json.loads(line) for line in (tmp_path / "logs/MANIFEST.ndjson").read_text().splitlines()]
    lines, clean = ((tmp_path / folder / "20220401.json").read_bytes().splitlines() for folder in ("logs", "clean"))
    breaks = {"no_id": lambda e: e["Id"] is None, "negative_score": lambda e: e["Score"] < 0,
              "negative_seconds": lambda e: e["TotalDuration"] < 0, "more_than_a_day": lambda e: e["TotalDuration"] > 86400,
              "odd_contract": lambda e: e["Contract"].startswith("x-"), "repeated_id": lambda e: e["Id"] == "AX_again",
              "": lambda e: False}
    for entry, line, plain in zip(entries, lines, clean, strict=True):
        assert entry["verdict"] == "kept"
        assert [kind for kind, is_broken in breaks.items() if is_broken(entry)] == [entry["damage"]] * bool(entry["damage"])
        assert (line == plain) == (entry["damage"] == "")
    kinds = collections.Counter(entry["damage"] for entry in entries)
    assert kinds.pop("repeated_id") == 2 and set(kinds) == set(breaks) - {"repeated_id"}
    assert min(kinds.values()) > 60
