"""What docs/limits.md and "Differences from DuckDB" in docs/sql.md say is true. Each row of their tables
has an entry here, found by the first words of the row; a row without an entry fails. An entry is

  Differs(sql, smelt, duckdb)  the one value of a query, or None where it is refused
  Fails(sql, words)            a query that is refused with those words
  InTest(path, words)          a test that shows it, which has those words
  NotHere(reason)              what this machine cannot show

A row that says several things has a list of entries."""
import collections
import json
import re

import pytest

from common import ROOT

Differs = collections.namedtuple("Differs", "sql smelt duckdb")
Fails = collections.namedtuple("Fails", "sql words")
InTest = collections.namedtuple("InTest", "path words")
NotHere = collections.namedtuple("NotHere", "reason")

DIFFERENCES = {
    "sum() of integers": [
        Differs("SELECT typeof(sum(x)) FROM (VALUES (1)) t(x)", "BIGINT", "HUGEINT"),
        Fails("SELECT sum(x) FROM (VALUES (9223372036854775807), (1)) t(x)", "beyond BIGINT")],
    "HUGEINT": Differs("SELECT typeof(18446744073709551616)", "DECIMAL(20,0)", "HUGEINT"),
    "reverse": Differs("SELECT reverse('e\u0301x')", "x\u0301e", "xe\u0301"),
    "numbers beyond 4,294,967,295": [
        Differs("SELECT substr('abc', 1, 4294967297)", "abc", None), Differs("SELECT left('abc', 4294967297)", "abc", None)],
    "round of a UBIGINT": [
        Differs("SELECT typeof(round(5::UBIGINT, -1))", "UBIGINT", "HUGEINT"),
        Differs("SELECT round(18446744073709551615::UBIGINT, -1)", None, "18446744073709551620")],
    "GROUP BY ALL of no row": Differs(
        "SELECT count(*) FROM (SELECT a AND false AS x, count(*) FROM (VALUES (true)) t(a) WHERE a IS NULL GROUP BY ALL)",
        "1", "0"),
    "FLOAT as text": Differs("SELECT CAST(-1915074.8 AS FLOAT)::VARCHAR", "-1915074.8",
                             "-1915074.75"),
    "regular expressions": Differs(
        "SELECT regexp_matches(repeat_, '(a|a)*(a|a)*(a|a)*[c-d]') "
        "FROM (SELECT lpad('', 60, 'a') AS repeat_)", None, "false"),
    "timestamps in text without columns and": [
        Differs("SELECT typeof(no_seconds) FROM 'times.ndjson' LIMIT 1", "TIMESTAMP", "VARCHAR"),
        Differs("SELECT typeof(fraction) FROM 'times.ndjson' LIMIT 1", "TIMESTAMP", "VARCHAR"),
        Differs("SELECT typeof(mixed) FROM 'times.ndjson' LIMIT 1", "TIMESTAMP", "VARCHAR")],
    "a zone after a space": [
        Differs("SELECT typeof(utc) FROM 'times.ndjson' LIMIT 1", "TIMESTAMP WITH TIME ZONE",
                "VARCHAR"),
        Differs("SELECT typeof(hours) FROM 'times.ndjson' LIMIT 1", "TIMESTAMP WITH TIME ZONE",
                "VARCHAR")],
    "digits finer than microseconds": Differs(
        "SELECT max(nano)::VARCHAR FROM 'times.ndjson'", "2022-04-03T10:00:00.123456789Z",
        "2022-04-03 10:00:00.123456+00"),
    "14:38, 04-03-2022": [
        Differs("SELECT typeof(clock) FROM 'times.ndjson' LIMIT 1", "VARCHAR", "TIME"),
        Differs("SELECT max(european)::VARCHAR FROM 'times.ndjson'", "04-03-2022", "2022-03-04"),
        Differs("SELECT max(two)::VARCHAR FROM 'times.ndjson'", "22-04-03", "2022-04-03"),
        Differs("SELECT max(word)::VARCHAR FROM 'times.ndjson'", "infinity", "1900-01-01"),
        Differs("SELECT typeof(spaces) FROM 'times.ndjson' LIMIT 1", "VARCHAR", "DATE"),
        Differs("SELECT typeof(uuid) FROM 'times.ndjson' LIMIT 1", "VARCHAR", "UUID")],
    "a later text without a zone": Differs(
        "SELECT max(later)::VARCHAR FROM read_json('times.ndjson', sample_size => 1)", None,
        "2022-04-03 10:00:00+00"),
    "a zone in a text": [
        Differs("SELECT '2022-04-03 2:38 PM'::TIMESTAMP", None, "2022-04-03 02:38:00"),
        InTest("tests/sql/casts.test", "it takes an offset behind a space in a TIMESTAMP only")],
    "spaces around a day": Differs("SELECT ' 2022-04-03 '::TIMESTAMP", "2022-04-03 00:00:00", None),
    "'14:38:00x'::TIME": Differs("SELECT '14:38:00x'::TIME", None, "14:38:00"),
    "true::DECIMAL(4,4)": Differs("SELECT true::DECIMAL(4,4)", None, ".0001"),
    "'1e-1'::DECIMAL(4,4)": Differs("SELECT '1e-1'::DECIMAL(4,4)", ".1000", None),
    "DECIMAL of more than 18 digits to FLOAT": InTest("tests/peers/test_casts.py", "FLOAT"),
    "'-nan'::DOUBLE": Differs("SELECT '-nan'::DOUBLE", "nan", "-nan"),
    "JSON as a type": [
        Differs("SELECT TRY_CAST('[1,]' AS JSON)", "", "[1,]"),
        Differs("SELECT 'nan'::DOUBLE::JSON", "null", "NaN")],
    "strptime with %z": Differs(
        "SELECT strptime('2022-04-03 10 Europe/Paris', '%Y-%m-%d %H %Z')", None,
        "2022-04-03 08:00:00+00"),
    "keys of folders that are also": InTest("tests/peers/test_hive.py", "hive_partitioning"),
    "keys of folders like": InTest("tests/peers/test_hive.py", "epoch"),
    "keys that the sample missed": InTest("tests/cli/test_found_columns.py", "unknown"),
    "read_parquet of files with different": InTest(
        "tests/peers/test_claims.py", "test_files_are_united_by_name"),
    "read_json of a broken line": Fails("SELECT * FROM read_json('broken.ndjson')",
                                        "broken.ndjson:2:"),
    "integers beyond BIGINT in": Differs(
        "SELECT max(a) FROM (SELECT a FROM 'huge.ndjson')", "9" * 38, "1e+38"),
    "numbers of JSON in a DECIMAL": [
        Differs("SELECT CAST(max(a) AS VARCHAR) FROM read_json('exact.ndjson', "
                "columns => {a: 'DECIMAL(20,2)'})", "12345678901234567.89", "12345678901234567.68"),
        Fails("SELECT * FROM read_json('exact.ndjson', columns => {a: 'DECIMAL(20,1)'})",
              "12345678901234567.89 cannot be read as DECIMAL(20,1)"),
        InTest("tests/cli/test_statements.py", "test_a_number_is_rounded_once"),
    ],
    "a repeated key in an object": Differs(
        "SELECT CAST(m AS VARCHAR) FROM read_json('twice.ndjson', "
        "columns => {m: 'MAP(VARCHAR, BIGINT)'})", "{a=2}", None),
    "keys of a MAP in": Differs(
        "SELECT count(m) FROM read_json('ids.ndjson', columns => {m: 'MAP(BIGINT, BIGINT)'})",
        None, "1"),
    "an object with many keys and": Differs(
        "SELECT typeof(m) FROM 'kinds.ndjson' LIMIT 1", "MAP(VARCHAR, VARCHAR)",
        "MAP(VARCHAR, JSON)"),
    "NaN": Differs("SELECT sqrt(-1)", "nan", "-nan"),
    "integers of more than 38 digits": Differs("SELECT typeof(1" + "0" * 38 + ")", None,
                                               "HUGEINT"),
    "1e400": Differs("SELECT 1e400", None, "inf"),
    "1a, 1__2, 0xFF": [Differs("SELECT 1a", None, "1"), Differs("SELECT 1__2", None, "1"),
                       Differs("SELECT 0xFF", None, "0")],
    "the negative of the smallest": Differs("SELECT -('-128'::TINYINT)", None, "128"),
    "TINYINT with UTINYINT": Differs("SELECT typeof(1::TINYINT + 1::UTINYINT)", "SMALLINT",
                                     "BIGINT"),
    "the smallest integer % -1": Differs("SELECT '-128'::TINYINT % '-1'::TINYINT", "0", None),
    "DECIMALs that have more": [
        Differs(f"SELECT 7.25 % {'9' * 38}", None, "7.25"),
        Differs("SELECT typeof(x) FROM (SELECT 1::DECIMAL(38,1) AS x UNION ALL "
                "SELECT 1::DECIMAL(38,2)) LIMIT 1", "DECIMAL(38,2)", "DECIMAL(38,1)")],
    "a number compared with a BOOLEAN": [
        Differs("SELECT 1.5 = true", None, "false"),
        Fails("SELECT d = 1 FROM (VALUES (DATE '2022-04-01')) t(d)", "cannot be compared")],
    "BLOB with VARCHAR in UNION": Differs(
        "SELECT typeof(x) FROM (SELECT 'a'::BLOB AS x UNION ALL SELECT 'b') LIMIT 1", None, "BLOB"),
    "a text literal among other values": [
        Differs("SELECT x FROM (VALUES ('1'), (2)) t(x) LIMIT 1", "1", None),
        Differs("SELECT + '1'", "1", None), Differs("SELECT year(NULL)", "", None)],
    "a name that several columns of": [
        Differs("SELECT a FROM (SELECT 1 AS a, 2 AS a) t", None, "1"),
        Differs("SELECT a_1 FROM (SELECT 1 AS a, 2 AS a) t", None, "2")],
    "names in ORDER BY that differ": Differs(
        "SELECT min(k) FROM (SELECT i AS k FROM (SELECT -i AS x, i AS X, i "
        "FROM (VALUES (1), (2)) t(i) ORDER BY x LIMIT 1))", "2", "1"),
    "a name in HAVING": Differs("SELECT max(i) AS i FROM (VALUES (1), (3)) t(i) HAVING i = 3", None,
                                "3"),
    "two tables of one name in FROM": [
        Differs("SELECT * FROM (VALUES (1)) t(a), (VALUES (2)) t(a)", "1,2", None),
        Fails("SELECT t.a FROM (VALUES (1)) t(a), (VALUES (2)) t(a)", "several columns are named")],
    "an alias that an earlier item": Differs(
        "SELECT b + 1 AS c, 1 AS b", "2,1", None),
    "'x' OR true": Differs("SELECT 'x' OR true", "true", None),
    "ORDER BY of a UNION": Differs("SELECT 1 AS x UNION ALL SELECT 1 AS y ORDER BY y LIMIT 1", None,
                                   "1"),
    "a constant unit that": [
        Differs("SELECT coalesce(date_trunc('yaer', NULL::TIMESTAMP)::VARCHAR, 'none')", None, "none"),
        Fails("SELECT date_diff('yaer', NULL::DATE, DATE '2022-04-03')", 'no unit "yaer"')],
    "a value after a LIMIT": Differs(
        "SELECT s FROM (VALUES ('1'), ('x')) t(s) WHERE CAST(s AS INTEGER) < 2 LIMIT 1", "1", None),
    "the order of equal rows": InTest("tests/peers/test_order.py", "order"),
}

LIMITS = {
    "spilling everything": InTest("tests/memory/test_spill.py", "--memory-limit"),
    "--memory-limit below": InTest("tests/memory/test_memory.py", "LIMIT"),
    "stores other than disk": Fails("SELECT * FROM 'gs://bucket/a.parquet'", "s3"),
    "more than one machine": NotHere("there is nothing that could be run on another"),
    "make up with Docker": [
        NotHere("no Docker engine"),
        InTest("tests/deploy/test_image.py", "def test_the_shipped_pipeline"),
        InTest("tests/airflow/test_airflow.py", "def test_the_shipped_dag_runs_in_containers")],
    "reading CSV, and formats": Fails("SELECT * FROM read_csv('a.csv')", "read_csv"),
    "a contract on a view": InTest("tests/cli/test_task_contracts.py", "def test_a_view_takes_no_rows_away"),
    "a contract on a table with scd2": [
        InTest("tests/cli/test_task_contracts.py", "def test_the_times_of_a_history_are_not_in_its_contract"),
        InTest("tests/cli/test_task_contracts.py", "def test_all_rows_of_a_history_are_judged_by_run_and_check_alike")],
    "the other table of a reference": InTest(
        "tests/cli/test_kept_candidates.py", "def test_another_table_may_change_meanwhile"),
    "files that a run left which was killed": [
        InTest("tests/faults/test_killed_kept.py", "def test_the_first_run_of_a_table"),
        InTest("tests/cli/test_kept_candidates.py", "def test_vacuum_of_a_folder_without_a_log_takes_no_other_file")],
    "a kept candidate that was published": InTest(
        "tests/faults/test_killed_kept.py", "def test_published_and_then_replaced"),
    "a drawing of every column": InTest("tests/cli/test_check_page.py", "def test_types_at_their_ends"),
    "the rule volume": InTest("tests/cli/test_check_past.py", "def test_without_an_earlier_version_it_is_told"),
    "catalogs, the scheduler's": InTest("tests/cli/test_usage.py", "== 2"),
    "smelt rollback of a run": InTest("tests/cli/test_rollback.py", "def test_the_first_run_of_a_table_stays"),
    "replaying all that is in a quarantine": InTest(
        "tests/cli/test_replay.py", "def test_a_row_that_is_cut_stays_where_its_file_does_not"),
    "replaying into a table with overwrite": InTest(
        "tests/cli/test_replay_kinds.py", "def test_partitions_that_are_overwritten_are_refused"),
    "verdicts of smelt check": InTest(
        "tests/cli/test_check_files.py", "def test_where_most_keys_come_again_none_are_kept"),
    "drift": InTest("tests/cli/test_drift.py", "def test_a_thousand_keys_are_not_told_by_what_is_cut"),
    "smelt contract accept": InTest(
        "tests/cli/test_accept.py", "def test_sql_without_a_certain_place_is_left_and_says_what_to_add"),
    "vacuum of _delta_log": InTest("src/table/table_vacuum_test.c", "_delta_log/x.parquet"),
    "length of a line of NDJSON": InTest("src/format/text_lines_test.c", "too_long"),
    "nesting of JSON": InTest("src/format/json/json_row_test.c", "nested deeper than 128"),
    "integers": Fails("SELECT * FROM read_json('big.ndjson', columns => {a: 'TINYINT'})",
                      "out of the range of TINYINT"),
    "text": InTest("src/format/json/json_row_test.c", "UTF-8"),
    "MAP columns of JSON": Fails(
        "SELECT * FROM read_json('dates.ndjson', columns => {d: 'MAP(BIGINT, BIGINT)'})",
        "column d"),
    "STRUCT columns with many keys": NotHere("44 s of CPU are too much for a test"),
    "layout of JSON": InTest("tests/cli/test_other_layouts.py",
                             "test_another_layout_is_refused_as_a_whole"),
    "unknown keys": InTest("src/format/json/json_row_test.c", "unknown"),
    "lines parsed the fast way": InTest("src/format/json/json_shape_test.c", "127"),
    "columns found without": InTest("src/format/json/json_infer_test.c", "10000"),
    "a key that is an object": InTest("src/format/json/json_infer_test.c", "VARCHAR"),
    "dates and timestamps found": Fails(
        "SELECT d FROM read_json('late.ndjson', sample_size => 1)",
        '"2022-04-03 17:05" cannot be read as DATE'),
    "match": Fails("SELECT * FROM read_json('.', match => '" + "a" * 4097 + "')", "4"),
    "pipeline, SQL file": InTest("src/query/query_test.c", "(1 << 20) + 1"),
    "an open publication in a lake": InTest("src/delta/delta_attempt_test.c",
                                                         "SM_DELTA_LOST"),
    "an open publication of a newer smelt": InTest("src/table/table_journal_test.c",
                                                       "test_newer_format"),
    "a user who may read a table": NotHere("no server is set up whose keys may read objects "
                                                 "and not list them"),
    "a network file system that lists": NotHere("no such file system is set up"),
    "modular encryption": InTest("tests/conformance/parquet_conformance_test.c", "encrypt"),
    "TIMESTAMP and TIME in nanoseconds": InTest("tests/peers/test_parquet_types.py",
                                                "test_nanoseconds_are_rounded_down"),
    "INT96": InTest("tests/peers/test_spark.py", "INT96"),
    "UUID": InTest("tests/peers/test_parquet_types.py", "UUID"),
    "VARIANT": InTest("src/format/parquet/parquet_variant_test.c", "AAEC/w=="),
    "INTERVAL, GEOMETRY": InTest("tests/peers/test_parquet_types.py", "INTERVAL"),
    "damaged pages": InTest("src/format/parquet/parquet_test.c", "checksum"),
    "a page index or bounds": InTest("tests/peers/test_pruned_reads.py", "index"),
    "bounds of a column with NaN": InTest("tests/peers/test_filtered_reads.py", "nan"),
    "footer 256 MiB": NotHere("files of hundreds of MiB are too much for a test"),
    "text of 1 MiB": InTest("src/query/query_test.c", "test_limits"),
    "several statements in one text": InTest("src/query/query_change_test.c",
                                             "DELETE with RETURNING"),
    "MERGE: the rows of the source": InTest("tests/peers/test_changes.py", "def test_large_merge"),
    "MERGE: a row of the table": InTest("tests/peers/test_changes.py",
                                        "several rows of the source match one row of the table"),
    "UPDATE, DELETE, MERGE of a table": InTest("tests/peers/test_changes.py", "appendOnly"),
    "a field within a struct in SET": InTest("src/query/query_change_test.c",
                                             "UPDATE t SET p.i = 1"),
    "SQL of DuckDB that smelt": InTest("tests/peers/test_claims.py", "NOT_THERE"),
    "ORDER BY, min, max": [
        Fails("SELECT s FROM 'struct.ndjson' ORDER BY s", "no order"),
        Fails("SELECT max(s) FROM 'struct.ndjson'", "does not take lists and structs"),
        Fails("SELECT s < s FROM 'struct.ndjson'", "has no order")],
    "sum() of integers is": Fails("SELECT sum(x) FROM (VALUES (9223372036854775807), (1)) t(x)",
                                  "beyond BIGINT"),
    "FLOAT as text": InTest("tests/peers/test_claims.py", "-1915074.75"),
    "a regular expression may take": Fails(
        "SELECT regexp_matches(lpad('', 60, 'a'), '(a|a)*(a|a)*(a|a)*[c-d]')", "too many steps"),
    "lpad and rpad make": [Fails("SELECT lpad('a', 67108865, 'b')", "67"),
                           InTest("src/query/function/fn_text_test.c", "replace")],
    "times in text and strptime": Fails("SELECT '2022-04-03 10:00 Europe/Paris'::TIMESTAMPTZ",
                                        "cannot be cast"),
    "infinite dates and timestamps": InTest("tests/peers/test_infinite_times.py", "infinit"),
    "keys in the folders of a path": InTest("tests/peers/test_hive.py", "32"),
    "--format table prints": InTest("tests/peers/test_claims.py",
                                   "test_a_table_shows_a_thousand_rows"),
    "reader protocols 1 to 3": InTest("src/delta/delta_test.c", "UNSUPPORTED"),
    "columns by which a table with the feature": InTest("tests/cli/test_cluster_domain.py",
                                                        "test_odd_domains_are_refused"),
    "a change data feed of a table": InTest("src/table/table_rules_test.c", "_Change_Type"),
    "table_changes of a version": InTest("tests/peers/test_change_feed.py",
                                         "test_files_that_were_repaired_away_have_no_changes"),
    "order of rows": InTest("tests/cli/test_optimize.py", "test_rows_keep_their_order"),
    "writing with features other": InTest("src/table/table_rules_test.c", "UNSUPPORTED"),
    "turning on row tracking for a table of which": InTest("src/delta/delta_late_test.c", "how many it has"),
    "turning on row tracking while": InTest("src/delta/delta_late_test.c", "test_rows_turned_on_too_late"),
    "constraints, generated columns": InTest("src/query/spark_expr_test.c", "UNSUPPORTED"),
    "values of partition columns that": [
        InTest("src/delta/delta_partition_test.c", "DEFAULT_PARTITION"),
        InTest("tests/peers/test_partitioned.py", "9999-12-31 23:59:59.999999")],
    "many files": [InTest("tests/memory/test_many_adds.py", "MOST_BYTES"),
                   InTest("src/delta/delta_length_test.c", "test_limit"),
                   InTest("src/delta/delta_length_test.c", "test_memory")],
    "many commits": [InTest("tests/memory/test_many_adds.py", "test_many_commits"),
                     InTest("tests/memory/test_many_adds.py", "test_memory_limit")],
    "deletion vectors: a DELETE": InTest("src/table/table_mark_test.c",
                                         "test_off"),
    "ALTER TABLE: other names": InTest("src/table/table_alter_test.c", "SET NOT NULL"),
    "the folder of a partition": InTest("src/delta/delta_partition_test.c", "SM_LIMIT"),
    "partition columns of type BLOB": InTest("tests/peers/test_partitioned.py", "blob"),
    "files, and their deletion vectors": [
        InTest("src/delta/delta_vector_test.c", "outside the table"),
        InTest("tests/cli/test_outside.py", "test_what_a_table_may_name")],
    "tables with variants": InTest("tests/peers/test_variants.py", "not supported"),
    "other types that Delta": InTest("src/delta/delta_test.c", "test_a_type_of_the_future"),
    "unsigned integers": InTest("tests/peers/test_delta_interop.py", "UTINYINT"),
    "columns of a type that Delta": InTest("src/table/table_stage_test.c", "has no type"),
    "columns with the same name": InTest("src/table/table_stage_test.c", "two columns are called"),
    "partition columns that are not": InTest("src/delta/delta_test.c", "partition"),
    "a damaged or incomplete checkpoint": InTest("src/delta/delta_test.c", "checkpoint"),
    "a file of the table whose size": InTest("tests/cli/test_broken_table.py",
                                             "test_a_data_file_changed_in_size"),
    "a sidecar of a checkpoint whose size": InTest("src/delta/delta_checkpoint_test.c", "test_other_size"),
    "a log that ends before": InTest("tests/cli/test_broken_table.py", "test_a_log_that_ends_too_soon"),
    "a log compaction file that is": [
        InTest("src/delta/delta_compacted_test.c", "test_doubt"),
        InTest("src/delta/delta_compacted_test.c", "the removal is lost"),
        InTest("tests/peers/test_log_compaction.py", "passed over")],
    "a version checksum": InTest("src/delta/delta_checksum_test.c", "but its checksum says"),
    "bounds in the log": [InTest("tests/peers/test_filtered_reads.py", "nan"),
                          InTest("src/delta/delta_stats_test.c", "9999-12-31 23:59:59.999001")],
    "NOT NULL within a nested": InTest("src/table/table_stage_test.c", "NOT NULL"),
    "another writer commits": InTest("src/delta/delta_test.c", "SM_CONFLICT"),
    "open files": InTest("tests/cli/test_many_files.py",
                                   "test_what_is_known_of_a_file_is_small"),
    "Linux with glibc": NotHere("another platform"),
    "automatic setup": NotHere("another system than Debian"),
    "building needs Meson": NotHere("an older Meson"),
    "the peers of make test": NotHere("an older Python"),
}

# The list "Not supported", a query for each.
NOT_THERE = {
    "RIGHT": "SELECT * FROM t RIGHT JOIN t u ON t.a = u.a",
    "FULL": "SELECT * FROM t FULL JOIN t u ON t.a = u.a",
    "SEMI": "SELECT * FROM t SEMI JOIN t u ON t.a = u.a",
    "ANTI": "SELECT * FROM t ANTI JOIN t u ON t.a = u.a",
    "ASOF": "SELECT * FROM t ASOF JOIN t u ON t.a >= u.a",
    "NATURAL": "SELECT * FROM t NATURAL JOIN t u",
    "POSITIONAL": "SELECT * FROM t POSITIONAL JOIN t u",
    "INTERSECT": "SELECT a FROM t INTERSECT SELECT a FROM t",
    "EXCEPT": "SELECT a FROM t EXCEPT SELECT a FROM t",
    "WITH RECURSIVE": None,
    "IN (SELECT": "SELECT a IN (SELECT a FROM t) FROM t",
    "EXISTS": "SELECT EXISTS (SELECT 1)",
    "correlated subqueries": "SELECT (SELECT max(u.a) FROM t u WHERE u.a = t.a) FROM t",
    "INTERVAL": "SELECT DATE '2022-04-01' + INTERVAL 1 DAY",
    "window frames": "SELECT sum(a) OVER (ORDER BY a ROWS 1 PRECEDING) FROM t",
    "named windows": "SELECT sum(a) OVER w FROM t WINDOW w AS (ORDER BY a)",
    "FILTER together with OVER": "SELECT sum(a) FILTER (WHERE a > 0) OVER () FROM t",
    "lag": "SELECT lag(a) OVER (ORDER BY a) FROM t",
    "lead": "SELECT lead(a) OVER (ORDER BY a) FROM t",
    "ORDER BY within an aggregate": "SELECT string_agg(a::VARCHAR, ',' ORDER BY a) FROM t",
    "GROUPING SETS": "SELECT a, count(*) FROM t GROUP BY GROUPING SETS ((a), ())",
    "ROLLUP": "SELECT a, count(*) FROM t GROUP BY ROLLUP (a)",
    "CUBE": "SELECT a, count(*) FROM t GROUP BY CUBE (a)",
    "PIVOT": "PIVOT t ON a USING count(*)",
    "DISTINCT ON": "SELECT DISTINCT ON (a) a FROM t",
    "* REPLACE": "SELECT * REPLACE (1 AS a) FROM t",
    "COLUMNS(": "SELECT COLUMNS('a') FROM t",
    "SAMPLE": "SELECT a FROM t USING SAMPLE 1",
    "LIMIT n%": "SELECT a FROM t LIMIT 50%",
    "LIMIT of a text": "SELECT a FROM t LIMIT '1'",
    "a fraction": "SELECT a FROM t LIMIT 1.5",
    "or a subquery": "SELECT a FROM t LIMIT (SELECT 1)",
    "FETCH": "SELECT a FROM t FETCH FIRST 1 ROWS ONLY",
    "E'": r"SELECT E'a\nb'",
    "$$": "SELECT $$a$$",
    "X'": "SELECT X'41'",
    "INTEGER '5'": "SELECT INTEGER '5'",
    "IN ()": "SELECT a IN () FROM t",
    "NOT of a number": "SELECT NOT 1",
    "bit operators": "SELECT 5 & 3",
    "!": "SELECT 5 !",
    "@": "SELECT @1",
    "~": "SELECT 'a' ~ 'a'",
    "SIMILAR TO": "SELECT 'a' SIMILAR TO 'a'",
    "GLOB": "SELECT 'a' GLOB 'a'",
    "ESCAPE": "SELECT 'a' LIKE 'a' ESCAPE 'b'",
    "ORDER BY beside DISTINCT": "SELECT DISTINCT a FROM t ORDER BY -a",
    "lambdas": "SELECT list_transform([1], x -> x)",
    "list and struct literals": "SELECT [1], {'a': 1}",
    "functions of lists": "SELECT list_sum(l) FROM t",
    "several statements": "SELECT 1; SELECT 2",
    "ORDER BY, min or max": "SELECT min(s) FROM 'struct.ndjson'",
}


def plain(text):
    return re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text.replace("`", "")).strip()


def rows_of(path, start=None, end=None):
    """The first cells of a page's tables."""
    text = (ROOT / path).read_text(encoding="utf-8")
    text = text[text.index(start) if start else 0:]
    text = text[:text.index(end)] if end else text
    rows = re.findall(r"^\| (.+?) \|", text, re.MULTILINE)
    return [plain(row) for row in rows if row not in ("what", "limit") and set(row) != {"-"}]


PAGES = {
    "limits": (LIMITS, rows_of("docs/limits.md")),
    "differences": (DIFFERENCES, rows_of("docs/sql.md", "## Differences from DuckDB",
                                         "## Functions")),
}


def key_of(entries, row):
    """The longest key that the row begins with."""
    return max((key for key in entries if row.startswith(key)), key=len, default=None)


@pytest.mark.parametrize("page", PAGES)
def test_every_row_has_its_entry(page):
    entries, rows = PAGES[page]
    assert len(rows) > 30
    missing = [row for row in rows if key_of(entries, row) is None]
    assert not missing, f"rows without a test that shows them: {missing}"
    stale = set(entries) - {key_of(entries, row) for row in rows}
    assert not stale, f"entries of no row: {stale}"


CLAIMS = [(page, key, n, claim) for page, (entries, _) in PAGES.items()
          for key, claims in entries.items()
          for n, claim in enumerate(claims if isinstance(claims, list) else [claims])]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("claims")
    (folder / "dates.ndjson").write_text('{"d":"2022-04-01"}\n{"d":"2022-04-02"}\n')
    (folder / "late.ndjson").write_text('{"d":"2022-04-03"}\n{"d":"2022-04-03 17:05"}\n')
    (folder / "times.ndjson").write_text("".join(json.dumps(
        {"no_seconds": "2022-04-03T10:00", "fraction": "2022-04-03T10:00:00.5",
         "mixed": f"2022-04-03{between}10:00:00", "utc": "2022-04-03 10:00:00 UTC",
         "hours": "2022-04-03 10:00:00 +02:00", "nano": "2022-04-03T10:00:00.123456789Z",
         "clock": "14:38", "european": "04-03-2022", "two": "22-04-03", "word": "infinity",
         "spaces": " 2022-04-03 ", "uuid": "550e8400-e29b-41d4-a716-446655440000",
         "later": f"2022-04-03T10:00:00{zone}"}) + "\n"
        for between, zone in ((" ", "Z"), ("T", ""))))
    (folder / "broken.ndjson").write_text('{"a":1}\n{"a":\n')
    (folder / "big.ndjson").write_text('{"a":1}\n{"a":128}\n')
    (folder / "struct.ndjson").write_text('{"s":{"a":1}}\n{"s":{"a":2}}\n')
    (folder / "huge.ndjson").write_text('{"a":1}\n{"a":' + "9" * 38 + "}\n")
    (folder / "exact.ndjson").write_text('{"a":12345678901234567.89}\n')
    (folder / "twice.ndjson").write_text('{"m":{"a":1,"a":2}}\n')
    (folder / "ids.ndjson").write_text('{"m":{"1":1,"2":2}}\n')
    (folder / "kinds.ndjson").write_text("".join(
        f'{{"m":{{"k{n}":{n if n % 2 else chr(34) + "t" + chr(34)}}}}}\n' for n in range(1000)))
    return folder


def value_of_smelt(smelt, sql, place):
    done = smelt("sql", sql, "--format", "csv", cwd=place, check=False)
    if done.returncode != 0:
        return None, done.stderr
    cell = done.stdout.split("\n")[1]
    return cell[1:-1] if cell.startswith('"') else cell, ""


def value_of_duckdb(sql, place):
    import duckdb

    connection = duckdb.connect(config={"file_search_path": str(place)})
    connection.execute("SET TimeZone = 'UTC'")
    try:
        rows = connection.sql(sql).project("#1::VARCHAR").fetchall()
    except duckdb.Error:
        return None
    return rows[0][0] or ""


@pytest.mark.parametrize("page, key, n, claim", CLAIMS, ids=[f"{c[0]}-{c[1]}-{c[2]}" for c in CLAIMS])
def test_a_claim(smelt, place, page, key, n, claim):
    if isinstance(claim, NotHere):
        assert claim.reason
    elif isinstance(claim, InTest):
        assert claim.words in (ROOT / claim.path).read_text(encoding="utf-8")
    elif isinstance(claim, Fails):
        value, stderr = value_of_smelt(smelt, claim.sql, place)
        assert value is None and claim.words in stderr
    else:
        value, stderr = value_of_smelt(smelt, claim.sql, place)
        assert value == claim.smelt, stderr
        assert value_of_duckdb(claim.sql, place) == claim.duckdb


@pytest.mark.parametrize("form", NOT_THERE)
def test_what_is_not_there_is_an_error_at_its_place(smelt, place, form):
    text = (ROOT / "docs/sql.md").read_text(encoding="utf-8")
    text = text[text.index("Not supported, each an error"):text.index("has the sizes")]
    assert form.rstrip("(") in " ".join(text.replace("`", "").split())
    sql = f"WITH t AS (SELECT 1 AS a, 2 AS l) {NOT_THERE[form]}"
    if NOT_THERE[form] is None:
        sql = "WITH RECURSIVE r AS (SELECT 1) SELECT * FROM r"
    done = smelt("sql", sql, cwd=place, check=False)
    assert done.returncode == 1, done.stdout
    assert re.search(r"at SQL:1:\d+", done.stderr), done.stderr


def test_a_table_shows_a_thousand_rows(smelt, place):
    rows = ", ".join(f"({n})" for n in range(1002))
    sql = f"SELECT * FROM (VALUES {rows}) t(n)"
    shown = smelt("sql", sql, "--format", "table", cwd=place).stdout
    assert "\n999\n" in shown and "\n1000\n" not in shown and "1,002" in shown, shown[-80:]
    assert smelt("sql", sql, "--format", "csv", cwd=place).stdout.count("\n") == 1003


def test_files_are_united_by_name(smelt, place):
    import duckdb

    for name, sql in (("u1", "SELECT 1 AS a"), ("u2", "SELECT 2 AS b, 3 AS a")):
        duckdb.sql(f"COPY ({sql}) TO '{place}/{name}.parquet'")
    rows = smelt.sql("SELECT * FROM read_parquet('u*.parquet') ORDER BY a", cwd=place)
    assert rows == [{"a": 1, "b": None}, {"a": 3, "b": 2}]
    plain_rows = value_of_duckdb("SELECT count(b) FROM read_parquet('u*.parquet')", place)
    assert plain_rows is None
