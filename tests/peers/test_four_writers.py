"""Four writers of one table, two smelt, delta-rs and Spark, two hundred commits, while smelt joins its
files: no row is lost, none is there twice.

delta-rs and Spark run in processes of their own, from the environments that have them. Spark's way to
write a log on a local disk is for tests within one process: it looks whether a version is there, and then
renames a file to it, over what another process may have put there meanwhile. So it gets a LogStore here
that links the file, which fails if the version is there, as smelt and delta-rs do. Spark brings the
compiler for it."""
import json
import os
import re
import shutil
import subprocess
import threading

import pytest

from appended_lines import append_in_turn, write_pipeline
from common import ROOT
from customer360 import log_line
from engines import environment

pytestmark = [pytest.mark.jvm, pytest.mark.soak]

LOADS, BY_RS, BY_JVM = 70, 40, 20  # commits by each smelt, by delta-rs, by Spark, which is slow

LOG_STORE = """
import java.nio.charset.StandardCharsets.UTF_8
import java.nio.file.{Files, Paths, StandardCopyOption}
import scala.jdk.CollectionConverters._
import org.apache.hadoop.conf.Configuration
import org.apache.hadoop.fs.Path

class LinkLogStore(conf: Configuration) extends io.delta.storage.LocalLogStore(conf) {
  override def write(path: Path, lines: java.util.Iterator[String], overwrite: java.lang.Boolean,
                     conf: Configuration): Unit = {
    val to = Paths.get(path.toUri.getPath)
    val from = to.resolveSibling("." + java.util.UUID.randomUUID + ".tmp")
    Files.write(from, lines.asScala.map(_ + "\\n").mkString.getBytes(UTF_8))
    try {
      if (overwrite) Files.move(from, to, StandardCopyOption.ATOMIC_MOVE)
      else Files.createLink(to, from)
    } finally Files.deleteIfExists(from)
  }
}
"""

# Each says "ready" and waits for a line, appends its rows one by one, says "done" and waits again; then it
# prints what it reads.
BY_DELTALAKE = """
import json, sys
import pyarrow as pa, deltalake
from deltalake.exceptions import CommitFailedError
uri, n = sys.argv[1], int(sys.argv[2])
schema = pa.schema(deltalake.DeltaTable(uri).schema().to_arrow())
print("ready", flush=True); sys.stdin.readline()
for k in range(n):
    row = {"who": f"rs{k}", "seconds": k + 1}
    rows = pa.table({field.name: pa.array([row.get(field.name)], field.type) for field in schema})
    while True:
        try:
            deltalake.write_deltalake(uri, rows, mode="append")
            break
        except CommitFailedError:
            pass
print("done", flush=True); sys.stdin.readline()
query = deltalake.QueryBuilder().register("t", deltalake.DeltaTable(uri))
rows = pa.table(query.execute("SELECT who, seconds FROM t").read_all()).to_pylist()
print(json.dumps([[row["who"], row["seconds"]] for row in rows]), flush=True)
"""
BY_SPARK = """
import json, pathlib, sys
uri, n, home, jar = sys.argv[1], int(sys.argv[2]), pathlib.Path(sys.argv[3]), sys.argv[4]
import engines
spark = engines.start_spark(home, [jar], {"spark.delta.logStore.file.impl": "LinkLogStore",
                                          "spark.ui.showConsoleProgress": "false"})
spark.range(3).write.format("delta").save(str(home / "warm"))  # the first commit takes seconds
print("ready", flush=True); sys.stdin.readline()
for k in range(n):
    spark.sql(f"INSERT INTO delta.`{uri}` (who, seconds) VALUES ('spark{k}', {k + 1})")
print("done", flush=True); sys.stdin.readline()
rows = spark.read.format("delta").load(uri).select("who", "seconds").collect()
print(json.dumps([[row["who"], row["seconds"]] for row in rows]), flush=True)
"""


class Peer:
    """A writer in a process of its own."""

    def __init__(self, python, program, *arguments):
        self.process = subprocess.Popen(
            [python, "-c", program, *map(str, arguments)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT / "tests")})
        self.expect("ready")

    def expect(self, word):
        line = self.process.stdout.readline()
        assert line.strip() == word, f"{line!r}, exit code {self.process.poll()}"

    def go_on(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def read(self):
        self.go_on()
        rows = json.loads(self.process.stdout.readline())
        self.process.communicate(timeout=60)
        return sorted((who, seconds) for who, seconds in rows)


def make_log_store(folder):
    """The jar with LinkLogStore."""
    jars, = environment("spark").glob("lib/python3*/site-packages/pyspark/jars")
    source = folder / "LinkLogStore.scala"
    source.write_text(LOG_STORE)
    subprocess.run(["java", "-cp", f"{jars}/*:{environment('jars')}/*", "scala.tools.nsc.Main",
                    "-usejavacp", "-d", folder / "link.jar", source], check=True, timeout=600)
    return folder / "link.jar"


def optimize_until(program, table, is_over, failures):
    """Joins the table's files again and again: never an error."""
    while not is_over.is_set():
        done = subprocess.run([program.path, "table", "optimize", table], capture_output=True, text=True,
                              timeout=300)
        if done.returncode:
            failures.append(f"optimize: {done.returncode} {done.stderr}")
        is_over.wait(1)


def test_two_hundred_commits(program, tmp_path):
    spark, peers = environment("spark") / "bin/python", environment("peers") / "bin/python"
    if not (spark.exists() and peers.exists() and shutil.which("java")):
        pytest.skip("Spark or delta-rs is not installed: tools/setup interop")
    lake, failures, threads, is_over = tmp_path / "lake", [], [], threading.Event()
    table = lake / "bronze/lines"
    wanted = [(f"rs{k}", k + 1) for k in range(BY_RS)] + [(f"spark{k}", k + 1) for k in range(BY_JVM)]
    for day, name in enumerate(("north", "south"), 1):
        pipeline, source = write_pipeline(tmp_path / name, name, tasks=("load",)), tmp_path / f"{name}-all"
        source.mkdir()
        for k in range(LOADS):
            (source / f"{name}_202204{day:02}_{k:03}.json").write_text(
                log_line(f"{name}{k}", k + 1, number=k))
            wanted.append((f"{name}{k}", k + 1))
        arguments = (program, pipeline, source, tmp_path / f"{name}-logs", lake)
        append_in_turn(*arguments, 1, failures)  # the table is there before the others come
        threads.append(threading.Thread(target=append_in_turn, args=(*arguments, LOADS, failures),
                                        kwargs={"most": 60}))
    others = [Peer(peers, BY_DELTALAKE, table, BY_RS),
              Peer(spark, BY_SPARK, table, BY_JVM, tmp_path / "spark", make_log_store(tmp_path))]
    optimizer = threading.Thread(target=optimize_until, args=(program, table, is_over, failures))
    for peer in others:
        peer.go_on()
    for thread in (*threads, optimizer):
        thread.start()
    for thread in threads:
        thread.join()
    for peer in others:
        peer.expect("done")
    is_over.set()
    optimizer.join()
    assert not failures
    rows = program.sql("SELECT who, seconds FROM bronze.lines", "--lake", lake)
    assert sorted((row["who"], row["seconds"]) for row in rows) == sorted(wanted)
    for peer in others:
        assert peer.read() == sorted(wanted)
    history = program("table", "history", table).stdout
    assert len(re.findall(r"^\s*\d+ .*WRITE", history, re.M)) >= 200, history
    assert "OPTIMIZE" in history
