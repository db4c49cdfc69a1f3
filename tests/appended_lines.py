"""A small pipeline of two layers over log lines, for tests that kill runs or have many writers.
Each writer loads its files into the same table, one file per run."""
import os
import shutil
import subprocess

PIPELINE = """
name: killed
vars:
  logs:
    type: uri
    default: ./logs
  lake:
    type: uri
    default: ./lake
  month:
    type: month
lake: lake
sources:
  - name: logs
    match: '^[^.].*[.]json$'
    window: month
    quarantine: quarantine.lines
tasks:
  - load: bronze.lines
    from: logs
    sql: lines.sql
    by: day
  - table: silver.totals
    sql: totals.sql
"""
LINES = """
SELECT _id AS id, _source.Contract AS who, _source.TotalDuration AS seconds, file_date AS day
FROM read_json(var('logs'), match => '^[^.].*[.]json$',
    columns => {_id: 'VARCHAR', _source: 'STRUCT(Contract VARCHAR, TotalDuration BIGINT)'},
    file_date => true, bad_lines => 'quarantine', validate => 'all')
"""
TOTALS = """
SELECT day, who, count(*) AS n, CAST(sum(seconds) AS BIGINT) AS seconds
FROM bronze.lines GROUP BY day, who
"""
TABLES = ["bronze/lines", "quarantine/lines", "silver/totals"]


def write_pipeline(folder, name="killed", tasks=("load", "table")):
    folder.mkdir(parents=True, exist_ok=True)
    text = PIPELINE.replace("name: killed", f"name: {name}")
    if "table" not in tasks:
        text = text[:text.index("  - table:")]
    (folder / "pipeline.yaml").write_text(text)
    (folder / "lines.sql").write_text(LINES)
    (folder / "totals.sql").write_text(TOTALS)
    return folder / "pipeline.yaml"


def run_again_and_again(program, pipeline, here, lake, most=20, env=None):
    """Runs the pipeline until it no longer loses against other writers: (the last run, number of runs).
    Exit code 4 says that another writer won, and that it is safe to run again."""
    for n in range(1, most + 1):
        done = subprocess.run([program.path, "run", pipeline, "--var", f"logs={here}", "--var",
                               f"lake={lake}", "--var", "month=2022-04", "--threads", "1"],
                              capture_output=True, text=True, timeout=120,
                              env={**os.environ, **(env or {})})
        if done.returncode != 4:
            break
    return done, n


def append_in_turn(program, pipeline, source, here, lake, n, failures, env=None, most=20, runs=None):
    """Brings n files, one a run, into the lake's table. `runs` gets how many each one took."""
    here.mkdir(exist_ok=True)
    for file in sorted(source.iterdir())[:n]:
        shutil.copy2(file, here / file.name)
        done, tries = run_again_and_again(program, pipeline, here, lake, most, env)
        if runs is not None:
            runs.append(tries)
        if done.returncode:
            failures.append(f"{file.name}: {done.returncode} {done.stderr}")
            return
