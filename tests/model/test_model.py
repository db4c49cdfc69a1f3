"""The protocol of publications (src/table/table_journal.c) as a model, publication.pml, which spin
checks in all orders of its steps and with a crash at each of them.

The model must be able to fail: with MUTANT=n it lacks a step that the protocol needs, and spin must
find that. What was found is replayed by: spin -a, then pan, then spin -t -p, with the same -D.

`make soak` has more processes and crashes at once: too many states to keep, so it remembers them by a
few bits each and goes through them in random order, for SOAK_MINUTES (10) in all. SMELT_SEED repeats
an order."""
import os
import pathlib
import random
import re
import subprocess

import pytest

MODEL = pathlib.Path(__file__).with_name("publication.pml")
SEED = int(os.environ.get("SMELT_SEED") or random.SystemRandom().randrange(1_000_000))
MINUTES = float(os.environ.get("SOAK_MINUTES", 10))


def check(folder, sizes, options=("-DCOLLAPSE",), arguments=()):
    """What spin says of the model with these sizes: (number of errors, number of states, all of it)."""
    defines = [f"-D{name}" if value is True else f"-D{name}={value}" for name, value in sizes.items()]
    subprocess.run(["spin", "-a", *defines, MODEL], cwd=folder, check=True, capture_output=True)
    subprocess.run(["gcc", "-O2", "-w", "-DSAFETY", "-DVECTORSZ=2048", "-DMEMLIM=3000",
                    *options, "-o", "pan", "pan.c"], cwd=folder, check=True)
    done = subprocess.run(["./pan", "-m100000", "-n", *arguments], cwd=folder, capture_output=True,
                          text=True)
    told = done.stdout + done.stderr
    found = re.search(r"errors: (\d+)\n\s*([\d.e+]+) states, stored", told)
    assert found and "max search depth too small" not in told, told
    return int(found[1]), float(found[2]), told


def sizes_of(publishers, helpers=0, readers=0, foreigns=0, crashes=1, **others):
    return {"PUBLISHERS": publishers, "HELPERS": helpers, "READERS": readers, "FOREIGNS": foreigns,
            "CRASHES": crashes, **others}


CHECKED = {
    "two publishers and a helper": sizes_of(2, helpers=1),
    "two publishers and a reader": sizes_of(2, readers=1, crashes=0),
    "two loads and a reader": sizes_of(2, readers=1, LOADS=True),
    "two that read and a foreign writer": sizes_of(2, foreigns=1, READS=True),
    "all but the second publisher": sizes_of(1, helpers=1, readers=1, foreigns=1, READS=True),
}


@pytest.mark.parametrize("name", CHECKED)
def test_model(tmp_path, name):
    errors, states, told = check(tmp_path, CHECKED[name])
    assert errors == 0 and "Search not completed" not in told, told
    assert states > 50_000, told  # it did go through the orders


# What is broken, where it shows, and the assertion by which it does.
MUTANTS = {
    "without CONFIRM": (1, sizes_of(2, helpers=1), "n==0"),
    "puts without reading the log": (2, sizes_of(1, helpers=1), "x_!=id"),
    "another's verdict is not obeyed":
        (3, sizes_of(1, helpers=1, foreigns=1, READS=True), "seen[0]"),
    "another's entry passes for its own": (4, sizes_of(2), "numbers[x_]<numbers[id]"),
    "nothing is taken back": (5, sizes_of(1, helpers=1, foreigns=1, READS=True), "seen[0]"),
    "readers see what is under way": (6, sizes_of(1, readers=1), "seen[0]"),
    "the newest is deleted too": (7, sizes_of(2, helpers=1), "numbers[x_]<numbers[id]"),
    "the open one is not completed first": (8, sizes_of(2), "seen[0]"),
    "readers list the journal once": (9, sizes_of(1, readers=1), "seen[0]"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_mutants_are_found(tmp_path, name):
    number, sizes, assertion = MUTANTS[name]
    errors, _, told = check(tmp_path, {**sizes, "MUTANT": number})
    assert errors == 1, told
    assert re.search(r"assertion violated .*" + re.escape(assertion), told), told


LARGE = {
    "all, reading": sizes_of(2, helpers=1, readers=1, foreigns=1, READS=True),
    "all, loads": sizes_of(2, helpers=1, readers=1, foreigns=1, LOADS=True),
    "all, without conflicts": sizes_of(2, helpers=1, readers=1),
    "two crashes": sizes_of(2, helpers=1, foreigns=1, crashes=2, READS=True),
    "three tables": sizes_of(2, helpers=1, foreigns=1, READS=True, TABLES=3),
}


@pytest.mark.soak
@pytest.mark.parametrize("name", LARGE)
def test_large_model(tmp_path, name):
    minutes = max(1, round(MINUTES / len(LARGE)))
    errors, states, told = check(
        tmp_path, LARGE[name], ["-DBITSTATE", "-DT_RAND", "-DP_RAND"],
        ["-w30", "-k2", f"-RS{SEED}", f"-Q{minutes}"])
    assert errors == 0, f"SMELT_SEED={SEED}\n{told}"
    assert states > 1_000_000, told
