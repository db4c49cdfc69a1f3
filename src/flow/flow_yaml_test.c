/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_yaml_test.c: what a pipeline file may say, the places of what it may not, the order of
 * its tasks and which of them `--task` means. */
#include "flow/flow_int.h"
#include "scratch.h"

#define HEAD                                                                                       \
    "name: sales\n"                                                                                \
    "vars:\n"                                                                                      \
    "  logs: {type: uri, default: ./logs}\n"                                                       \
    "  lake: {type: uri, default: ./lake}\n"                                                       \
    "  month: {type: month}\n"                                                                     \
    "lake: lake\n"
#define SOURCE                                                                                     \
    "sources:\n"                                                                                   \
    "  - {name: logs, match: '\\.json$', window: month, quarantine: bad.orders}\n"

#define PUBLISHER "connections: [{clickhouse: ch, url: 'http://h:1/d'}]\n"

#define CONTRACT                                                                                   \
    "apiVersion: v3.1.0\nkind: DataContract\nid: k\nversion: 1.0.0\nstatus: active\nschema:\n"

/* The pipeline of that text, beside a.sql, b.sql and c.sql. */
static sm_status open_text(const scratch *at, const char *yaml, sm_pipeline **out, sm_error *e)
{
    char path[256];
    sm_store *s = open_scratch(at);

    put_text(s, "p.yaml", yaml);
    put_text(s, "a.sql", "SELECT 1 AS x");
    put_text(s, "b.sql", "SELECT x FROM l.a");
    put_text(s, "c.sql", "SELECT x FROM L.B JOIN other.t ON true");
    put_text(s, "loop.sql", "SELECT x FROM l.c");
    put_text(s, "no.sql", "SELECT FROM WHERE");
    put_text(s, "one.yaml", CONTRACT "  - {name: things, properties: [{name: x}]}\n");
    put_text(s, "more.yaml",
             CONTRACT "  - {name: a, properties: [{name: x}]}\n"
                      "  - {name: other, physicalName: l.b, properties: [{name: x}]}\n"
                      "  - {name: third, properties: [{name: x}]}\n");
    put_text(s, "bad.yaml", CONTRACT "  - {name: a, propertys: []}\n");
    sm_store_release(s);
    snprintf(path, sizeof(path), "%s/p.yaml", at->path);
    return sm_pipeline_open(test_stores, sm_str_of(path), out, e);
}

static const struct {
    const char *yaml;
    sm_status want;
    int line, byte;
    const char *what, *todo;
} refused[] = {
    {"", SM_SYNTAX, 0, -1, "empty", ""},
    {"name: [", SM_SYNTAX, 2, 1, "not YAML", ""},
    {"name: x\n  tasks: y\n", SM_SYNTAX, 1, 7, "not YAML", ""},
    {"name: x\nname: y\n", SM_SYNTAX, 2, 1, "not YAML", ""},
    {"- a\n", SM_SYNTAX, 1, 3, "not a mapping", ""},
    {"nam: x\n", SM_NAME, 1, 1, "no key \"nam\"", "\"name\""},
    {"name: x\n", SM_SYNTAX, 1, 1, "has no lake", ""},
    {"name: a/b\n", SM_NAME, 1, 7, "not a pipeline name", ""},
    {"name: x\nlake: lage\nvars: {lake: {type: uri}}\n", SM_NAME, 2, 7, "no variable \"lage\"",
     "\"lake\""},
    {"name: x\nlake: lake\nvars:\n  lake:\n    type: url\n", SM_NAME, 5, 11, "no type \"url\"",
     "\"uri\""},
    {"name: x\nlake: lake\nvars:\n  lake:\n    hlep: y\n", SM_NAME, 5, 5, "no key \"hlep\"",
     "\"help\""},
    {HEAD, SM_SYNTAX, 1, 1, "no tasks", ""},
    {HEAD "schedule: '0 25 * * *'\n", SM_SYNTAX, 7, 12, "no value at byte 3, in hour", "0 to 23"},
    {HEAD "schedule: 0 0 30 2 *\n", SM_INVALID, 7, 11, "never fires", ""},
    {HEAD "schedule:\n", SM_SYNTAX, 7, 1, "schedule", ""},
    {HEAD "shedule: '@daily'\n", SM_NAME, 7, 1, "no key \"shedule\"", "\"schedule\""},
    {HEAD "retries: -1\n", SM_INVALID, 7, 10, "a number from 0 to 100, not \"-1\"", ""},
    {HEAD "retries: 2\nretry_delay: 30\n", SM_INVALID, 8, 14, "retry_delay is a time like", ""},
    {HEAD "catchup: yes\nschedule: '@daily'\n", SM_INVALID, 7, 10, "catchup is true or false", ""},
    {HEAD "catchup: true\n", SM_SYNTAX, 7, 1, "catchup without a schedule", ""},
    {HEAD "max_active_runs: 0\n", SM_INVALID, 7, 18, "a number from 1 to 64, not \"0\"", ""},
    {HEAD "schedule: '@daily'\nafter: [b]\n", SM_INVALID, 8, 1, "exclude each other", ""},
    {HEAD "after: []\n", SM_SYNTAX, 7, 1, "after is empty", ""},
    {HEAD "sources: [{name: month, watch: true}]\n", SM_INVALID, 7, 32,
     "watched source is not known", "month a default"},
    {HEAD "sources: [{name: lake, poll: 5s}]\n", SM_SYNTAX, 7, 24, "sources with watch: true", ""},
    {HEAD "timezone: UTC\n", SM_SYNTAX, 7, 1, "timezone without a schedule", ""},
    {HEAD "schedule: '@daily'\ntimezone: Europe/Parris\n", SM_NAME, 8, 11,
     "no time zone \"Europe/Parris\"", "tz database"},
    {HEAD "tasks:\n  - {table: l.a, sql: a.sql, tags: [a b]}\n", SM_NAME, 8, 30, "not a tag", ""},
    {HEAD "tasks: []\n", SM_SYNTAX, 7, 1, "empty", ""},
    {HEAD "tasks:\n  - {table: l.a, sql: a.sql, form: x}\n", SM_NAME, 8, 30, "no key \"form\"",
     "\"from\""},
    {HEAD "tasks:\n  - {table: l.a, view: l.b, sql: a.sql}\n", SM_SYNTAX, 8, 6, "more than one",
     ""},
    {HEAD "tasks:\n  - {sql: a.sql}\n", SM_SYNTAX, 8, 6,
     "none of load, view, table, publish, cluster, optimize, vacuum and command", ""},
    {HEAD "tasks:\n  - {cluster: l.a}\n", SM_SYNTAX, 8, 6, "clusters has no by", ""},
    {HEAD "tasks:\n  - {cluster: l.a, by: []}\n", SM_SYNTAX, 8, 20, "by is empty", ""},
    {HEAD "tasks:\n  - {cluster: l.a, by: {x: y}}\n", SM_SYNTAX, 8, 20, "by is not a text", ""},
    {HEAD "tasks:\n  - {cluster: l.a, by: x, curve: peano}\n", SM_INVALID, 8, 34,
     "zorder or hilbert", ""},
    {HEAD "tasks:\n  - {cluster: l.a, by: x, sql: a.sql}\n", SM_SYNTAX, 8, 27, "sql is for loads",
     ""},
    {HEAD "tasks:\n  - {table: l.a, sql: a.sql, curve: zorder}\n", SM_SYNTAX, 8, 30,
     "curve is for cluster only", ""},
    {HEAD "tasks:\n  - {table: l.a, sql: a.sql, partition_by: [d, E]}\n"
          "  - {cluster: l.a, by: [x, e]}\n",
     SM_INVALID, 9, 15, "l.a is partitioned by \"E\"", "Leave it out of by"},
    {HEAD "tasks:\n  - {table: a, sql: a.sql}\n", SM_NAME, 8, 13, "not a table name",
     "layer.table"},
    {HEAD "tasks:\n  - {table: l._a, sql: a.sql}\n", SM_NAME, 8, 13, "begins with _",
     "another name"},
    {HEAD "tasks:\n  - {table: ../x.a, sql: a.sql}\n", SM_NAME, 8, 13, "not a table name", ""},
    {HEAD "tasks:\n  - {table: l.a}\n", SM_SYNTAX, 8, 6, "has no sql", ""},
    {HEAD "tasks:\n  - {table: l.a, sql: [a.sql]}\n", SM_SYNTAX, 8, 18, "not a text", ""},
    {HEAD "tasks:\n  - {table: l.a, sql: a.sql, by: x}\n", SM_SYNTAX, 8, 30,
     "loads and cluster only", ""},
    {HEAD "tasks:\n  - {load: l.a, sql: a.sql}\n", SM_SYNTAX, 8, 6, "has no from", ""},
    {HEAD "tasks:\n  - {table: l.a, sql: a.sql, partition_bi: x}\n", SM_NAME, 8, 30,
     "no key \"partition_bi\"", "\"partition_by\""},
    {HEAD "tasks:\n  - {table: l.a, sql: a.sql, partition_by: []}\n", SM_SYNTAX, 8, 30,
     "partition_by is empty", ""},
    {HEAD "tasks:\n  - {table: l.a, sql: a.sql, partition_by: ''}\n", SM_SYNTAX, 8, 30,
     "partition_by is empty", ""},
    {HEAD "tasks:\n  - {table: l.a, sql: a.sql, partition_by: [x, [y]]}\n", SM_SYNTAX, 8, 49,
     "a column of partition_by is not a text", ""},
    {HEAD "tasks:\n  - {view: l.a, sql: a.sql, partition_by: x}\n", SM_SYNTAX, 8, 29,
     "partition_by is for loads and tables only", ""},
    {HEAD PUBLISHER "tasks:\n  - {publish: ch.t, from: l.a, partition_by: x}\n", SM_SYNTAX, 9, 32,
     "partition_by is for loads and tables only", ""},
    {HEAD "tasks:\n  - {view: l.a, sql: a.sql, overwrite: partitions}\n", SM_SYNTAX, 8, 29,
     "overwrite is for tables only", ""},
    {HEAD "tasks:\n  - {table: l.a, sql: a.sql, overwrite: all}\n", SM_INVALID, 8, 41,
     "overwrite is \"partitions\", not \"all\"", ""},
    {HEAD "tasks:\n  - {table: l.a, sql: a.sql, overwrite: partitions}\n", SM_SYNTAX, 8, 41,
     "needs the key partition_by", ""},
    {HEAD "tasks:\n  - {table: l.a, sql: a.sql, replace: month, partition_by: x, "
          "overwrite: partitions}\n",
     SM_SYNTAX, 8, 63, "one of replace, overwrite, append, merge and scd2", ""},
    {HEAD "tasks:\n  - {table: l.a, sql: a.sql, append: mont}\n", SM_NAME, 8, 38,
     "no variable \"mont\"", "\"month\""},
    {HEAD "tasks:\n  - {table: l.a, sql: a.sql, append: lake}\n", SM_TYPE, 8, 38,
     "is a place, not a value", ""},
    {HEAD "tasks:\n  - {table: l.a, sql: a.sql, append: ''}\n", SM_SYNTAX, 8, 30, "append is empty",
     ""},
    {HEAD "tasks:\n  - {table: l.a, sql: a.sql, append: month, replace: month}\n", SM_SYNTAX, 8, 30,
     "one of replace, overwrite, append, merge and scd2", ""},
    {HEAD "tasks:\n  - {table: l.a, sql: a.sql, merge: id}\n", SM_SYNTAX, 8, 30,
     "merge is not a mapping", ""},
    {HEAD "tasks:\n  - {table: l.a, sql: a.sql, merge: {}}\n", SM_SYNTAX, 8, 30, "merge has no key",
     ""},
    {HEAD "tasks:\n  - {table: l.a, sql: a.sql, merge: {update_when: x}}\n", SM_SYNTAX, 8, 30,
     "merge has no key", ""},
    {HEAD "tasks:\n  - {table: l.a, sql: a.sql, merge: {kei: id}}\n", SM_NAME, 8, 38,
     "merge has no key \"kei\"", "\"key\""},
    {HEAD "tasks:\n  - {table: l.a, sql: a.sql, merge: {key: []}}\n", SM_SYNTAX, 8, 38,
     "key is empty", ""},
    {HEAD "tasks:\n  - {table: l.a, sql: a.sql, merge: {key: id, delete_if: x}}\n", SM_NAME, 8, 47,
     "merge has no key \"delete_if\"", "delete_when"},
    {HEAD "tasks:\n  - {table: l.a, sql: a.sql, merge: {key: id, update_when: ''}}\n", SM_SYNTAX, 8,
     47, "update_when is empty", ""},
    {HEAD "tasks:\n  - {table: l.a, sql: a.sql, merge: {key: id}, scd2: {key: id}}\n", SM_SYNTAX, 8,
     48, "one of replace, overwrite, append, merge and scd2", ""},
    {HEAD "tasks:\n  - {table: l.a, sql: a.sql, scd2: {key: id, valid_form: a}}\n", SM_NAME, 8, 46,
     "scd2 has no key \"valid_form\"", "\"valid_from\""},
    {HEAD "tasks:\n  - {table: l.a, sql: a.sql, scd2: {columns: a}}\n", SM_SYNTAX, 8, 30,
     "scd2 has no key", ""},
    {HEAD "tasks:\n  - {table: l.a, sql: a.sql, scd2: {key: id, missing: drop}}\n", SM_INVALID, 8,
     55, "missing is keep or close, not \"drop\"", ""},
    {HEAD "tasks:\n  - {table: l.a, sql: a.sql, scd2: {key: id, valid_to: VALID_FROM}}\n",
     SM_INVALID, 8, 46, "two columns \"VALID_FROM\"", ""},
    {HEAD "tasks:\n  - {table: l.a, sql: a.sql, scd2: {key: id, valid_from: is_current}}\n",
     SM_INVALID, 8, 46, "two columns \"is_current\"", ""},
    {HEAD "tasks:\n  - {view: l.a, sql: a.sql, merge: {key: x}}\n", SM_SYNTAX, 8, 29,
     "merge is for tables only", ""},
    {HEAD "tasks:\n  - {view: l.a, sql: a.sql, append: month}\n", SM_SYNTAX, 8, 29,
     "append is for tables only", ""},
    {HEAD "tasks:\n  - {table: l.a, sql: a.sql, contract: []}\n", SM_SYNTAX, 8, 30,
     "contract is not a text", ""},
    {HEAD "tasks:\n  - {table: l.a, sql: a.sql, contract: ''}\n", SM_SYNTAX, 8, 30,
     "contract is empty", ""},
    {HEAD "tasks:\n  - {table: l.a, sql: a.sql, contract: {fil: one.yaml}}\n", SM_NAME, 8, 41,
     "contract has no key \"fil\"", "\"file\""},
    {HEAD "tasks:\n  - {table: l.a, sql: a.sql, contract: {table: a}}\n", SM_SYNTAX, 8, 30,
     "contract has no file", ""},
    {HEAD "tasks:\n  - {table: l.a, sql: a.sql, contract: {file: more.yaml, table: thrid}}\n",
     SM_NAME, 8, 65, "no table \"thrid\"", "\"third\""},
    {HEAD "tasks:\n  - {table: l.x, sql: a.sql, contract: more.yaml}\n", SM_NAME, 8, 40,
     "more.yaml has 3 tables, and none is called l.x", "table: a"},
    {HEAD PUBLISHER "tasks:\n  - {publish: ch.t, from: l.a, contract: one.yaml}\n", SM_SYNTAX, 9,
     32, "contract is for loads, views and tables only", ""},
    {HEAD "tasks:\n  - {cluster: l.a, by: x, contract: one.yaml}\n", SM_SYNTAX, 8, 27,
     "contract is for loads, views and tables only", ""},
    {HEAD SOURCE "tasks:\n  - {load: l.a, sql: a.sql, from: log, by: d}\n", SM_NAME, 10, 35,
     "no source \"log\"", "\"logs\""},
    {HEAD SOURCE "tasks:\n  - {table: bad.Orders, sql: a.sql}\n", SM_EXISTS, 10, 13,
     "quarantine already", ""},
    {HEAD "sources:\n  - {name: logs, window: lake}\n", SM_TYPE, 8, 26, "not of type month", ""},
    {HEAD "sources:\n  - {name: logs, copies: skp}\n", SM_INVALID, 8, 26, "copies cannot be 'skp'",
     "Use 'fail', 'skip' or 'keep'."},
    {HEAD "sources:\n  - {name: logs, copies: remove}\n", SM_INVALID, 8, 26,
     "copies cannot be 'remove'", "Use 'fail', 'skip' or 'keep'."},
    {HEAD "sources:\n  - {name: logs, gone: skip}\n", SM_INVALID, 8, 24, "gone cannot be 'skip'",
     "Use 'fail', 'keep' or 'remove'."},
    {HEAD "sources:\n  - {name: logs, gone: }\n", SM_INVALID, 8, 18, "gone cannot be ''", "'keep'"},
    {HEAD "sources:\n  - {name: logs, copie: skip}\n", SM_NAME, 8, 18, "no key \"copie\"",
     "\"copies\""},
    {HEAD "sources:\n  - {name: logs}\n  - {name: logs}\n", SM_INVALID, 9, 6, "the same name", ""},
    {HEAD "tasks:\n  - {table: l.a, sql: a.sql}\n  - {view: L.A, sql: b.sql}\n", SM_EXISTS, 9, 12,
     "two tasks make", ""},
    {HEAD "connections: x\n", SM_SYNTAX, 7, 1, "connections is not a list", ""},
    {HEAD "connections:\n  - {url: x}\n", SM_SYNTAX, 8, 6, "one of s3 and clickhouse", ""},
    {HEAD "connections:\n  - {s3: a, clickhouse: a}\n", SM_SYNTAX, 8, 6, "one of s3", ""},
    {HEAD "connections:\n  - {s3: a.b}\n", SM_NAME, 8, 10, "not a connection name", ""},
    {HEAD "connections:\n  - {s3: a, endpont: x}\n", SM_NAME, 8, 13, "no key", "\"endpoint\""},
    {HEAD "connections:\n  - {s3: a, user: x}\n", SM_SYNTAX, 8, 13, "user is for clickhouse only",
     ""},
    {HEAD "connections:\n  - {clickhouse: a}\n", SM_SYNTAX, 8, 6, "has no url", ""},
    {HEAD "connections:\n  - {s3: a, secret: hush}\n", SM_INVALID, 8, 13, "must not stand",
     "{env: NAME}"},
    {HEAD "connections:\n  - {s3: a, secret: {file: x}}\n", SM_NAME, 8, 22, "no key \"file\"",
     "env"},
    {HEAD "connections:\n  - {s3: a}\n  - {clickhouse: A, url: x}\n", SM_EXISTS, 9, 6,
     "two connections", ""},
    {"name: x\nlake: l\nvars: {l: {type: uri, connection: b}}\n", SM_NAME, 3, 35,
     "no connection \"b\" to s3", ""},
    {"name: x\nlake: l\nconnections: [{s3: ab}]\nvars: {l: {type: uri, connection: ac}}\n", SM_NAME,
     4, 35, "no connection \"ac\"", "\"ab\""},
    {"name: x\nlake: l\nconnections: [{s3: ab}]\nvars: {l: {connection: ab}}\n", SM_TYPE, 4, 12,
     "not of type uri", ""},
    {HEAD PUBLISHER "tasks:\n  - {publish: t, from: l.a}\n", SM_NAME, 9, 15, "not a table name",
     ""},
    {HEAD PUBLISHER "tasks:\n  - {publish: ck.t, from: l.a}\n", SM_NAME, 9, 15,
     "no connection \"ck\" to clickhouse", "\"ch\""},
    {HEAD PUBLISHER "tasks:\n  - {publish: ch.t}\n", SM_SYNTAX, 9, 6, "has no from", ""},
    {HEAD PUBLISHER "tasks:\n  - {publish: ch.t, from: l}\n", SM_NAME, 9, 27, "not a table name",
     ""},
    {HEAD PUBLISHER "tasks:\n  - {publish: ch.t, from: l.a, sql: a.sql}\n", SM_SYNTAX, 9, 32,
     "sql is for loads, views and tables only", ""},
    {HEAD PUBLISHER "tasks:\n  - {view: l.a, sql: a.sql}\n  - {publish: ch.t, from: l.a}\n",
     SM_INVALID, 10, 15, "not a table of the lake", ""},
    {HEAD "tasks:\n  - {view: l.a, sql: a.sql}\n  - {optimize: l.a}\n", SM_INVALID, 9, 16,
     "l.a is not a table of the lake, so it cannot be optimized", ""},
    {HEAD "tasks:\n  - {optimize: l.a, target_size: big}\n", SM_INVALID, 8, 34,
     "target_size is a size like", ""},
    {HEAD "tasks:\n  - {optimize: l.a, retain: 7d}\n", SM_SYNTAX, 8, 21,
     "retain is for vacuum only", ""},
    {HEAD "tasks:\n  - {vacuum: l.a, retain: long}\n", SM_INVALID, 8, 27, "retain is a time", ""},
    {HEAD "tasks:\n  - {vacuum: l.a}\n  - {vacuum: l.a}\n", SM_EXISTS, 9, 14,
     "two tasks make l.a:vacuum", ""},
    {HEAD "tasks:\n  - {command: fetch}\n", SM_SYNTAX, 8, 6, "a command has no run", ""},
    {HEAD "tasks:\n  - {command: a b, run: x}\n", SM_NAME, 8, 15, "not a table name", ""},
    {HEAD "tasks:\n  - {command: a, run: []}\n", SM_SYNTAX, 8, 18, "run is empty", ""},
    {HEAD "tasks:\n  - {command: a, run: x, env: {'b=c': d}}\n", SM_NAME, 8, 33,
     "no name of a variable", ""},
    {HEAD "tasks:\n  - {command: a, run: x, memory: lots}\n", SM_INVALID, 8, 34,
     "memory is a size like", ""},
    {HEAD "tasks:\n  - {command: a, run: x, sql: a.sql}\n", SM_SYNTAX, 8, 26,
     "sql is for loads, views and tables only", ""},
    {HEAD "tasks:\n  - {command: a, run: x, needs: bb}\n  - {command: b, run: x}\n", SM_NAME, 8, 26,
     "no task \"bb\"", "\"b\""},
    {HEAD "tasks:\n  - {command: a, run: x, needs: b}\n  - {command: b, run: x, needs: a}\n",
     SM_INVALID, 8, 15, "circle: a needs b needs a", ""},
    {HEAD "tasks:\n  - {table: l.a, sql: a.sql, timeout: soon}\n", SM_INVALID, 8, 39,
     "timeout is a time", ""},
    {HEAD "tasks:\n  - {table: l.a, sql: a.sql, timeout: 0s}\n", SM_INVALID, 8, 39,
     "timeout is a time", ""},
    {HEAD "tasks:\n  - {table: l.z, sql: a.sql}\n  - {command: c, run: x, needs: l.z}\n"
          "  - {view: l.y, sql: a.sql, needs: c}\n",
     SM_INVALID, 10, 12, "l.y needs c, which runs once the tables of the run are published",
     "a pipeline of its own"},
    {HEAD "tasks:\n  - {table: l.b, sql: b.sql}\n  - {view: l.a, sql: c.sql}\n", SM_INVALID, 8, 13,
     "circle", ""},
};

static void test_refused(void **state)
{
    scratch at = scratch_new();

    for (int i = 0; i < SM_COUNT(refused); i++) {
        sm_error e = {0};
        sm_pipeline *p = NULL;
        const sm_status st = open_text(&at, refused[i].yaml, &p, &e);
        if (st != refused[i].want || e.line != refused[i].line || e.byte != refused[i].byte ||
            !strstr(e.what, refused[i].what) || !strstr(e.todo, refused[i].todo)) {
            fail_msg("%s\n gave %s at %d:%d: %s (%s)", refused[i].yaml, sm_status_name(st),
                     (int)e.line, (int)e.byte, e.what, e.todo);
        }
        assert_null(p);
        assert_non_null(strstr(e.object, "p.yaml"));
    }
    scratch_free(&at);
}

static void test_sql_that_is_wrong(void **state)
{
    scratch at = scratch_new();
    sm_error e = {0};
    sm_pipeline *p = NULL;

    assert_status(open_text(&at, HEAD "tasks:\n  - {table: l.a, sql: missing.sql}\n", &p, &e),
                  SM_NOT_FOUND, &e);
    assert_non_null(strstr(e.object, "missing.sql"));
    assert_string_equal(e.frame[0], "task l.a, line 8 of the pipeline");
    assert_status(open_text(&at, HEAD "tasks:\n  - {table: l.a, sql: no.sql}\n", &p, &e), SM_SYNTAX,
                  &e);
    assert_non_null(strstr(e.object, "no.sql"));
    assert_int_equal(e.line, 1);
    scratch_free(&at);
}

static void test_what_it_says(void **state)
{
    scratch at = scratch_new();
    sm_error e = {0};
    sm_pipeline *p = NULL;

    assert_ok(open_text(&at,
                        HEAD SOURCE "tasks:\n"
                                    "  - {table: l.c, sql: c.sql}\n"
                                    "  - {view: l.b, sql: b.sql}\n"
                                    "  - {load: l.a, sql: a.sql, from: logs, by: d,"
                                    " partition_by: d}\n"
                                    "  - {table: l.z, sql: a.sql, partition_by: [x, Y],"
                                    " overwrite: partitions}\n",
                        &p, &e),
              &e);
    assert_true(sm_str_is(sm_pipeline_name(p), "sales"));
    const char *const names[] = {"l.a", "l.b", "l.c", "l.z"};
    const sm_task_kind kinds[] = {SM_TASK_LOAD, SM_TASK_VIEW, SM_TASK_TABLE, SM_TASK_TABLE};
    assert_int_equal(sm_pipeline_tasks(p), 4);
    for (int32_t i = 0; i < 4; i++) {
        assert_true(sm_str_is(sm_pipeline_task_name(p, i), names[i]));
        assert_int_equal(sm_pipeline_task_kind(p, i), kinds[i]);
    }
    assert_int_equal(p->tasks[0].n_partition_by, 1);
    assert_true(sm_str_is(p->tasks[0].partition_by[0], "d"));
    assert_false(p->tasks[0].replaces_partitions || p->tasks[2].n_partition_by > 0);
    assert_int_equal(p->tasks[3].n_partition_by, 2);
    assert_true(sm_str_is(p->tasks[3].partition_by[1], "Y"));
    assert_true(p->tasks[3].replaces_partitions);
    assert_int_equal(p->sources[0].period, 2);
    assert_true(sm_str_is(p->sources[0].match, "\\.json$"));
    assert_true(sm_str_is(p->sources[0].quarantine, "bad.orders"));
    assert_true(p->vars[0].has_default && !p->vars[2].has_default);
    assert_true(sm_str_is(p->vars[1].default_text, "./lake"));
    sm_pipeline_close(p);
    scratch_free(&at);
}

static void test_contract_that_is_wrong(void **state)
{
    scratch at = scratch_new();
    sm_error e = {0};
    sm_pipeline *p = NULL;

    assert_status(
        open_text(&at, HEAD "tasks:\n  - {table: l.a, sql: a.sql, contract: no.yaml}\n", &p, &e),
        SM_NOT_FOUND, &e);
    assert_non_null(strstr(e.object, "no.yaml"));
    assert_string_equal(e.frame[0], "task l.a, line 8 of the pipeline");
    assert_status(
        open_text(&at, HEAD "tasks:\n  - {table: l.a, sql: a.sql, contract: bad.yaml}\n", &p, &e),
        SM_NAME, &e);
    assert_non_null(strstr(e.object, "bad.yaml"));
    assert_non_null(strstr(e.todo, "\"properties\""));
    assert_true(e.line == 7 && e.byte == 15);
    scratch_free(&at);
}

/* Which table of a contract a task makes; a file that several name is read once. */
static void test_contracts(void **state)
{
    scratch at = scratch_new();
    sm_error e = {0};
    sm_pipeline *p = NULL;

    assert_ok(open_text(&at,
                        HEAD "tasks:\n"
                             "  - {table: l.a, sql: a.sql, contract: more.yaml}\n"
                             "  - {table: l.b, sql: b.sql, contract: more.yaml}\n"
                             "  - {view: l.c, sql: a.sql, contract: {file: more.yaml, table: "
                             "Third}}\n"
                             "  - {table: l.d, sql: a.sql, contract: one.yaml}\n"
                             "  - {table: l.e, sql: a.sql}\n",
                        &p, &e),
              &e);
    static const char *const names[] = {"a", "other", "third", "things"};
    for (int i = 0; i < SM_COUNT(names); i++) {
        assert_true(sm_str_is(p->tasks[i].contracted->name, names[i]));
    }
    assert_ptr_equal(p->tasks[0].contract, p->tasks[2].contract);
    assert_int_equal(p->tasks[0].contract->hash.len, 32);
    assert_false(sm_str_eq(p->tasks[0].contract->hash, p->tasks[3].contract->hash));
    assert_null(p->tasks[4].contract);
    sm_pipeline_close(p);
    scratch_free(&at);
}

static void test_what_is_merged(void **state)
{
    scratch at = scratch_new();
    sm_error e = {0};
    sm_pipeline *p = NULL;

    assert_ok(open_text(&at,
                        HEAD "tasks:\n"
                             "  - {table: l.a, sql: a.sql, merge: {key: [x, 'y z'],"
                             " update_when: x > old.x, delete_when: 'gone'}}\n"
                             "  - {table: l.b, sql: a.sql, scd2: {key: x}}\n"
                             "  - {table: l.c, sql: a.sql, scd2: {key: x, columns: [a, b], at: t,"
                             " valid_from: f, valid_to: u, is_current: c, missing: close}}\n"
                             "  - {table: l.d, sql: a.sql, append: month}\n",
                        &p, &e),
              &e);
    const smi_flow_merge *m = p->tasks[0].merge;
    assert_false(m->is_history);
    assert_int_equal(m->key.n, 2);
    assert_true(sm_str_is(m->key.names[1], "y z"));
    assert_true(sm_str_is(m->update_when.text, "x > old.x") && m->update_when.at.byte == 68);
    assert_true(sm_str_is(m->delete_when.text, "gone"));
    m = p->tasks[1].merge;
    assert_true(m->is_history && !m->closes_missing && m->columns.n == 0 && m->at.text.len == 0);
    assert_true(sm_str_is(m->valid_from, "valid_from") && sm_str_is(m->valid_to, "valid_to"));
    assert_true(sm_str_is(m->is_current, "is_current"));
    m = p->tasks[2].merge;
    assert_true(m->closes_missing && m->columns.n == 2 && sm_str_is(m->at.text, "t"));
    assert_true(sm_str_is(m->valid_from, "f") && sm_str_is(m->is_current, "c"));
    assert_null(p->tasks[3].merge);
    assert_int_equal(p->tasks[3].append, 2);
    sm_pipeline_close(p);
    scratch_free(&at);
}

static void test_what_is_published(void **state)
{
    scratch at = scratch_new();
    sm_error e = {0};
    sm_pipeline *p = NULL;

    assert_ok(open_text(&at,
                        HEAD PUBLISHER "tasks:\n"
                                       "  - {publish: ch.t, from: l.b}\n"
                                       "  - {publish: CH.u, from: other.z}\n"
                                       "  - {table: l.a, sql: a.sql}\n"
                                       "  - {table: l.b, sql: b.sql}\n",
                        &p, &e),
              &e);
    const char *const names[] = {"CH.u", "l.a", "l.b", "ch.t"}; /* behind what it publishes */
    for (int32_t i = 0; i < 4; i++) {
        assert_true(sm_str_is(sm_pipeline_task_name(p, i), names[i]));
    }
    assert_int_equal(sm_pipeline_task_kind(p, 3), SM_TASK_PUBLISH);
    assert_true(sm_str_is(p->tasks[3].as, "t") && sm_str_is(p->tasks[3].from, "l.b"));
    assert_int_equal(p->tasks[0].connection, 0);
    sm_pipeline_close(p);
    scratch_free(&at);
}

/* A task that sorts is called by its table and its work, and stands behind what makes the table. */
static void test_what_is_clustered(void **state)
{
    scratch at = scratch_new();
    sm_error e = {0};
    sm_pipeline *p = NULL;

    assert_ok(open_text(&at,
                        HEAD "tasks:\n"
                             "  - {cluster: l.b, by: [x, 'y, z'], curve: hilbert}\n"
                             "  - {cluster: other.z, by: x}\n"
                             "  - {table: l.b, sql: a.sql}\n",
                        &p, &e),
              &e);
    const char *const names[] = {"other.z:cluster", "l.b", "l.b:cluster"};
    for (int32_t i = 0; i < 3; i++) {
        assert_true(sm_str_is(sm_pipeline_task_name(p, i), names[i]));
    }
    assert_int_equal(sm_pipeline_task_kind(p, 2), SM_TASK_CLUSTER);
    assert_true(sm_str_is(p->tasks[2].from, "l.b"));
    assert_int_equal(p->tasks[2].n_columns, 2);
    assert_true(sm_str_is(p->tasks[2].columns[1], "y, z"));
    assert_int_equal(*p->tasks[2].curve, SM_CURVE_HILBERT);
    assert_int_equal(p->tasks[0].n_columns, 1);
    assert_null(p->tasks[0].curve);
    sm_pipeline_close(p);
    scratch_free(&at);
}

static void test_choice_of_tasks(void **state)
{
    static const struct {
        const char *which;
        bool a, b, c, z;
    } choices[] = {
        {"", true, true, true, true},        {"l.a", true, false, false, false},
        {"l.b+", false, true, true, false},  {"L.A+", true, true, true, false},
        {"l.z+", false, false, false, true}, {"+l.b", true, true, false, false},
        {"+l.b+", true, true, true, false},  {"l.a, l.z", true, false, false, true},
        {"l.*", true, true, true, true},     {"*.[az]", true, false, false, true},
        {"@Hot", true, false, true, false},  {"@hot+ ,l.z", true, true, true, true},
        {" , ", true, true, true, true},     {"@cold", false, false, true, false},
    };
    scratch at = scratch_new();
    sm_error e = {0};
    sm_pipeline *p = NULL;
    bool *chosen = NULL;

    assert_ok(open_text(&at,
                        HEAD "tasks:\n  - {table: l.a, sql: a.sql, tags: hot}\n"
                             "  - {view: l.b, sql: b.sql}\n"
                             "  - {table: l.c, sql: c.sql, tags: [cold, hot]}\n"
                             "  - {table: l.z, sql: a.sql}\n",
                        &p, &e),
              &e);
    for (int i = 0; i < SM_COUNT(choices); i++) {
        assert_ok(sm_pipeline_select(p, sm_str_of(choices[i].which), p->arena, &chosen, &e), &e);
        const bool want[4] = {choices[i].a, choices[i].b, choices[i].c, choices[i].z};
        assert_memory_equal(chosen, want, sizeof(want));
    }
    assert_status(sm_pipeline_select(p, SM_STR("l.a l.bb"), p->arena, &chosen, &e), SM_NAME, &e);
    assert_string_equal(e.todo, "Did you mean \"l.b\"?");
    assert_status(sm_pipeline_select(p, SM_STR("@colt"), p->arena, &chosen, &e), SM_NAME, &e);
    assert_string_equal(e.what, "no task has the tag \"colt\" in pipeline sales");
    assert_string_equal(e.todo, "Did you mean \"cold\"?");
    assert_status(sm_pipeline_select(p, SM_STR("k.*"), p->arena, &chosen, &e), SM_NAME, &e);
    assert_status(sm_pipeline_select(p, SM_STR("+"), p->arena, &chosen, &e), SM_NAME, &e);
    sm_pipeline_close(p);
    scratch_free(&at);
}

/* What a source does with copies and with files that are gone. */
static void test_policies(void **state)
{
    static const struct {
        const char *keys;
        sm_policy copies, gone;
    } rows[] = {
        {"", SM_POLICY_KEEP, SM_POLICY_KEEP},
        {", copies: skip", SM_POLICY_SKIP, SM_POLICY_KEEP},
        {", copies: fail, gone: remove", SM_POLICY_FAIL, SM_POLICY_REMOVE},
        {", copies: error, gone: fail", SM_POLICY_FAIL, SM_POLICY_FAIL},
        {", gone: keep, copies: keep", SM_POLICY_KEEP, SM_POLICY_KEEP},
    };
    scratch at = scratch_new();

    for (int i = 0; i < SM_COUNT(rows); i++) {
        char yaml[1024];
        sm_pipeline *p = NULL;
        sm_error e = {0};
        snprintf(yaml, sizeof(yaml),
                 HEAD "sources:\n  - {name: logs%s}\ntasks:\n  - {table: l.a, sql: a.sql}\n",
                 rows[i].keys);
        assert_ok(open_text(&at, yaml, &p, &e), &e);
        assert_int_equal(p->sources[0].copies, rows[i].copies);
        assert_int_equal(p->sources[0].gone, rows[i].gone);
        sm_pipeline_close(p);
    }
    scratch_free(&at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_contracts),         cmocka_unit_test(test_contract_that_is_wrong),
        cmocka_unit_test(test_policies),          cmocka_unit_test(test_refused),
        cmocka_unit_test(test_sql_that_is_wrong), cmocka_unit_test(test_what_it_says),
        cmocka_unit_test(test_what_is_published), cmocka_unit_test(test_what_is_clustered),
        cmocka_unit_test(test_choice_of_tasks),   cmocka_unit_test(test_what_is_merged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
