"""Tasks that run a program, that keep tables in order, and the time that tasks may take."""
import json
import os
import pathlib
import signal
import subprocess
import time

import deltalake
import pytest

from common import smelt_path

HEAD = """name: shop
vars:
  lake: {type: uri, default: ./lake}
  the-day: {type: date}
lake: lake
"""


def is_alive(shop):
    """Is the process whose id is in the file alive? One that nobody has asked about yet is not."""
    try:
        state = pathlib.Path("/proc", (shop.folder / "pid").read_text().strip(), "stat").read_text()
    except FileNotFoundError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"


@pytest.fixture
def shop(tmp_path):
    class Made:
        folder = tmp_path

        def write(self, tasks, keys=""):
            (tmp_path / "shop.yaml").write_text(HEAD + keys + "tasks:\n" + tasks)

        def start(self, *options, **kwargs):
            return subprocess.Popen([smelt_path(), "run", "shop.yaml", *options], cwd=tmp_path, text=True,
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kwargs)

        def run(self, *options, code=0):
            process = self.start("--date", "2024-05-01", "--json", *options)
            out, said = process.communicate(timeout=60)
            assert process.returncode == code, said
            return json.loads(out), said

        def has(self, table):
            return (tmp_path / "lake" / table / "_delta_log").exists()

    (tmp_path / "t.sql").write_text("SELECT a FROM read_json('in.json', columns => {a: 'BIGINT'})")
    (tmp_path / "in.json").write_text('{"a":1}\n')
    return Made()


def test_before_and_after_the_publication(shop):
    shop.write("""\
  - {command: look, needs: l.t, run: "test -e lake/l/t/_delta_log && echo seen"}
  - {table: l.t, sql: t.sql, needs: fetch}
  - command: fetch
    run: "test ! -e lake/l/t/_delta_log && echo '{\\"a\\":7}' > in.json"
  - {command: last, needs: look, run: [echo, "$HOME and ; stay words"]}
""")
    report, said = shop.run()
    assert [command["name"] for command in report["commands"]] == ["fetch", "look", "last"]
    assert said == "seen\n$HOME and ; stay words\n"
    assert [table["name"] for table in report["tables"]] == ["l.t"]
    rows = deltalake.DeltaTable(str(shop.folder / "lake/l/t")).to_pyarrow_table().to_pylist()
    assert rows == [{"a": 7}]


def test_what_it_is_told(shop):
    shop.write("""\
  - command: x.y
    run: env
    env: {GREETING: "a = b", SMELT_RUN: mine}
""")
    _, said = shop.run()
    told = dict(line.split("=", 1) for line in said.splitlines())
    assert told["GREETING"] == "a = b" and told["SMELT_RUN"] == "mine" and told["PATH"] == os.environ["PATH"]
    assert told["SMELT_PIPELINE"] == "shop" and told["SMELT_TASK"] == "x.y" and told["SMELT_DATE"] == "2024-05-01"
    assert told["SMELT_INTERVAL_START"] == "2024-05-01 00:00:00"
    assert told["SMELT_INTERVAL_END"] == "2024-05-02 00:00:00"
    assert told["SMELT_VAR_lake"] == "./lake" and told["SMELT_VAR_the_day"] == "2024-05-01"


@pytest.mark.parametrize("run, why", [
    ("exit 3", "sh ended with exit code 3"),
    ("kill -9 $$", "sh ended with signal 9 (SIGKILL)"),
    ("[no-such-program, x]", "could not start no-such-program"),
])
def test_one_that_fails_before(shop, run, why):
    shop.write(f"  - {{command: fetch, run: {run}}}\n  - {{table: l.t, sql: t.sql, needs: fetch}}\n")
    report, said = shop.run(code=1)
    assert why in said and "task fetch" in said
    assert report["commands"] == [] and not shop.has("l/t")


def test_one_that_fails_after(shop):
    shop.write("  - {table: l.t, sql: t.sql}\n  - {command: tell, run: exit 1, needs: l.t}\n")
    shop.run(code=1)
    assert shop.has("l/t")


def test_one_is_done_again(shop):
    shop.write("  - {command: fetch, run: 'echo x >> tries; test $(wc -l < tries) = 3', retries: 5, "
               "retry_delay: 0s}\n")
    report, said = shop.run()
    assert len(report["commands"]) == 1 and (shop.folder / "tries").read_text() == "x\n" * 3
    assert said.count("again ") == 2


def test_time_is_over(shop):
    """What the program has started ends with it."""
    shop.write("  - {command: slow, run: 'sleep 77.25 & echo $! > pid; wait', timeout: 1s}\n"
               "  - {table: l.t, sql: t.sql, needs: slow}\n")
    start = time.monotonic()
    _, said = shop.run(code=1)
    assert 1 <= time.monotonic() - start < 9
    assert "took longer than the timeout of the task, 1.000 s" in said and "task slow" in said
    assert not is_alive(shop)
    assert not shop.has("l/t")


def test_time_of_the_run_is_over(shop):
    shop.write("  - {command: a, run: 'exit 1', retries: 90, retry_delay: 1s}\n", keys="timeout: 2s\n")
    start = time.monotonic()
    _, said = shop.run(code=1)
    assert time.monotonic() - start < 20
    assert "sh ended with exit code 1" in said or "timeout of the run, 2.000 s" in said


def test_a_query_whose_time_is_over(shop):
    (shop.folder / "slow.sql").write_text("SELECT count(*) AS n FROM read_json('in.json') a, read_json('in.json') b, "
                                          "read_json('in.json') c, read_json('in.json') d")
    (shop.folder / "in.json").write_text("".join(f'{{"a":{i}}}\n' for i in range(3000)))
    shop.write("  - {table: l.slow, sql: slow.sql, timeout: 1s}\n")
    _, said = shop.run(code=1)
    assert "took longer than the timeout of the task, 1.000 s" in said and "task l.slow" in said
    assert not shop.has("l/slow")


def test_ctrl_c(shop):
    shop.write("  - {command: slow, run: 'echo $$ > pid; sleep 77.5'}\n")
    process = shop.start()
    while not (shop.folder / "pid").exists() or not (shop.folder / "pid").read_text():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=30)[1]
    assert process.returncode == 130 and "Nothing was published" in said
    assert not is_alive(shop)


def test_limits(shop):
    shop.write("  - {command: a, run: 'ulimit -v; ulimit -t', memory: 64MiB, cpu: 2 min}\n")
    time_of_start = 0.2  # the limits are set from outside, just after the start
    (shop.folder / "shop.yaml").write_text((shop.folder / "shop.yaml").read_text().replace(
        "'ulimit", f"'sleep {time_of_start}; ulimit"))
    assert shop.run()[1] == "65536\n120\n"


def test_tables_are_kept_in_order(shop):
    shop.write("  - {table: l.t, sql: t.sql, append: the-day}\n  - {optimize: l.t}\n"
               "  - {vacuum: l.t, retain: 30 days}\n")
    for day in range(1, 4):
        report = shop.run("--date", f"2024-05-{day:02}")[0]
    assert [table["name"] for table in report["tables"]] == ["l.t"]
    assert report["optimized"] == [{"name": "l.t:optimize", "version": report["optimized"][0]["version"],
                                    "removed_files": 2, "added_files": 1,
                                    "added_bytes": report["optimized"][0]["added_bytes"]}]
    assert report["optimized"][0]["version"] == report["tables"][0]["version"] + 1
    assert report["vacuumed"] == [{"name": "l.t:vacuum", "deleted_files": 0, "deleted_bytes": 0}]
    table = deltalake.DeltaTable(str(shop.folder / "lake/l/t"))
    assert len(table.file_uris()) == 1 and table.to_pyarrow_table().num_rows == 3
    report = shop.run("--date", "2024-05-03")[0]
    assert report["optimized"][0]["version"] is None


def test_retain_that_is_too_short(shop):
    shop.write("  - {table: l.t, sql: t.sql}\n  - {vacuum: l.t, retain: 1h}\n")
    _, said = shop.run(code=2)
    assert "l.t:vacuum" in said and "retention" in said
    assert shop.has("l/t")


def test_only_a_command(shop):
    shop.write("  - {command: a, run: echo a}\n  - {command: b, run: echo b, needs: a}\n  - {command: c, run: echo c}\n")
    assert shop.run("--task", "b")[1] == "b\n"
    assert shop.run("--task", "a+")[1] == "a\nb\n"
