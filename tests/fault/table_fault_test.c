/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/fault/table_fault_test.c: writes to a table whose store fails, lies or dies at its k-th
 * call, for k = 1, 2, … until the write succeeds by itself; and writers that race.
 *
 * After each fault the table is completely at its old version or completely at the new one, also
 * after an open publication has been completed. Nothing leaks. The same write, started again
 * from that table, succeeds. Kills happen in a child process. */
#include "orders.h"

#include <signal.h>
#include <sys/wait.h>

static const order old_rows[] = {
    {"2022-04-01", "anna", 5},
    {"2022-04-01", "bert", 6},
    {"2022-04-02", "carl", 7},
};
static const order new_rows[] = {{"2022-04-01", "dora", 8}, {"2022-04-01", NULL, NO_NUMBER}};
#define OLD_TEXT "2022-04-01 anna 5;2022-04-01 bert 6;2022-04-02 carl 7;"
#define NEW_TEXT "2022-04-01 dora 8;2022-04-01 NULL NULL;"

/* A way to write, and the table after it. */
typedef struct way {
    const char *name;
    sm_write_mode mode;
    const char *split; /* of the old rows: so that a day has files of its own */
    const char *where;
    const char *after;   /* one write */
    bool is_repeatable;  /* a second one changes nothing more */
    bool is_partitioned; /* by the last column: each row has a file of its own */
} way;

static const way ways[] = {
    {"append", SM_WRITE_APPEND, "", "", OLD_TEXT NEW_TEXT, false},
    {"overwrite", SM_WRITE_OVERWRITE, "", "", NEW_TEXT, true},
    {"replace whole files", SM_WRITE_REPLACE_WHERE, "day", "day = DATE '2022-04-01'",
     "2022-04-02 carl 7;" NEW_TEXT, true},
    {"replace within files", SM_WRITE_REPLACE_WHERE, "",
     "amount < 7 OR amount = 8 OR \"Name\" IS NULL", "2022-04-02 carl 7;" NEW_TEXT, true},
    {"replace partitions", SM_WRITE_REPLACE_PARTITIONS, "", "", OLD_TEXT NEW_TEXT, true, true},
    {"replace within partitions", SM_WRITE_REPLACE_WHERE, "",
     "\"Name\" <> 'carl' OR \"Name\" IS NULL", "2022-04-02 carl 7;" NEW_TEXT, true, true},
};
static const sm_str by_amount[] = {{"amount", 6}};

static sm_write write_of(kit *k, const way *w)
{
    return (sm_write){
        .uri = kit_uri(k, "silver/orders"),
        .mode = w->mode,
        .where = where_sql(w->where),
    };
}

static void make_old(kit *k, const way *of)
{
    sm_error e = {0};
    const sm_write w = {.uri = kit_uri(k, "silver/orders"),
                        .split_by = sm_str_of(of->split),
                        .partition_by = by_amount,
                        .n_partition_by = of->is_partitioned};
    assert_ok(write_orders(k, &w, old_rows, 3, NULL, &e), &e);
}

static void arm(int k, const char *kind, bool writes_only)
{
    char plan[64];
    snprintf(plan, sizeof(plan), "at=%d,kind=%s,writes=%d", k, kind, writes_only);
    setenv("SMELT_FAULT", plan, 1);
}

/* Ends the plan; whether its call came. */
static bool disarm(int k)
{
    sm_error e = {0};
    sm_store *s = NULL;
    assert_ok(sm_store_open(test_stores, SM_STR("memory://count"), &s, &e), &e);
    const bool fired = sm_fault_calls(s) >= k;
    sm_store_release(s);
    unsetenv("SMELT_FAULT");
    return fired;
}

static bool is_old(const char *text)
{
    return strcmp(text, OLD_TEXT) == 0;
}

/* ---- calls that fail ------------------------------------------------------------------------- */

/* A publication that was begun is completed by who writes next: before it reads the table. */
static void settle(kit *k)
{
    sm_str told = {0};
    sm_error e = {0};
    assert_ok(sm_lake_settle(test_stores, sm_str_of(k->at.path), k->budget, k->arena, &told, &e),
              &e);
}

static void check_after(kit *k, const way *w, int n_old_files, sm_status st)
{
    sm_error e = {0};
    const char *text = table_text(k, "silver", "orders");
    const bool was_new = st == SM_OK || !is_old(text);
    if (was_new) {
        assert_string_equal(text, w->after);
    }
    settle(k);
    text = table_text(k, "silver", "orders");
    if (was_new || !is_old(text)) {
        assert_string_equal(text, w->after);
    }
    if (st == SM_DISK_FULL && is_old(text)) { /* when files nobody needs would hurt most */
        assert_int_equal(count_data_files(k, "silver/orders"), n_old_files);
    }
    if (is_old(text) || w->is_repeatable) {
        const sm_write again = write_of(k, w);
        assert_ok(write_orders(k, &again, new_rows, 2, NULL, &e), &e);
        assert_string_equal(table_text(k, "silver", "orders"), w->after);
    }
}

/* Fails one call of a write; whether there was such a call. */
static bool fail_once(const way *w, int at, const char *kind)
{
    kit k;
    sm_error e = {0};
    kit_init(&k);
    make_old(&k, w);
    const sm_write write = write_of(&k, w);
    const int n_old_files = count_data_files(&k, "silver/orders");
    arm(at, kind, false);
    const sm_status st = write_orders(&k, &write, new_rows, 2, NULL, &e);
    const bool fired = disarm(at);
    if (!fired) {
        assert_ok(st, &e);
    }
    check_after(&k, w, n_old_files, st);
    kit_release(&k);
    return fired;
}

static void test_failing_calls(void **state)
{
    static const char *const kinds[] = {"error", "torn", "lost", "disk_full"};
    for (int i = 0; i < SM_COUNT(ways); i++) {
        for (int kind = 0; kind < SM_COUNT(kinds); kind++) {
            int at = 1;
            while (fail_once(&ways[i], at, kinds[kind])) {
                at++;
            }
            assert_true(at > 5);
            /* The plan that was read last is kept: the same again takes no more memory. */
            const int64_t live = sm_live_allocs();
            for (int again = 1; again < at; again++) {
                fail_once(&ways[i], again, kinds[kind]);
                assert_int_equal(sm_live_allocs(), live);
            }
        }
    }
}

/* ---- kills ----------------------------------------------------------------------------------- */

/* Writes in a child that is killed at a call that changes something; whether it was. */
static bool kill_once(const way *w, int at, const char *kind)
{
    int status = 0;
    kit k = {.at = scratch_new()};
    kit_open(&k);
    make_old(&k, w);
    kit_close(&k);

    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        sm_error e = {0};
        arm(at, kind, true);
        kit_open(&k);
        const sm_write write = write_of(&k, w);
        const sm_status st = write_orders(&k, &write, new_rows, 2, NULL, &e);
        _exit(st == SM_OK ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    const bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    assert_true(killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
    kit_open(&k);
    check_after(&k, w, 0, killed ? SM_IO : SM_OK);
    kit_release(&k);
    return killed;
}

static void test_kills(void **state)
{
    static const char *const kinds[] = {"kill", "kill_after"};
    for (int i = 0; i < SM_COUNT(ways); i++) {
        for (int kind = 0; kind < SM_COUNT(kinds); kind++) {
            int at = 1;
            while (kill_once(&ways[i], at, kinds[kind])) {
                at++;
            }
            assert_true(at > 3); /* pieces and end of a file, the commit */
        }
    }
}

/* ---- races ----------------------------------------------------------------------------------- */

#define RACERS  2
#define APPENDS 50

/* Each appends rows of its own; a row that is lost or doubled shows in their numbers. */
static int race(scratch at, int racer)
{
    kit k = {.at = at};
    kit_open(&k);
    for (int i = 0; i < APPENDS; i++) {
        sm_error e = {0};
        const sm_write w = {.uri = kit_uri(&k, "silver/orders")};
        const order row = {"2022-04-05", "racer", racer * 1000 + i};
        if (write_orders(&k, &w, &row, 1, NULL, &e) != SM_OK) {
            print_error("%s\n", e.what);
            return 1;
        }
    }
    return 0;
}

static void test_race(void **state)
{
    kit k = {.at = scratch_new()};
    pid_t children[RACERS];
    bool seen[RACERS * 1000] = {0};
    int n_rows = 0;
    kit_open(&k);
    make_old(&k, &ways[0]);
    kit_close(&k);
    for (int i = 0; i < RACERS; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) {
            _exit(race(k.at, i));
        }
    }
    for (int i = 0; i < RACERS; i++) {
        int status = 0;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    kit_open(&k);
    const char *text = table_text(&k, "silver", "orders");
    for (const char *at = text; (at = strstr(at, "racer ")); n_rows++) {
        int64_t number = -1;
        at += strlen("racer ");
        assert_true(sscanf(at, "%" SCNd64, &number) == 1);
        assert_false(seen[number]);
        seen[number] = true;
    }
    assert_int_equal(n_rows, RACERS * APPENDS);
    assert_true(strncmp(text, OLD_TEXT, strlen(OLD_TEXT)) == 0);

    sm_error e = {0};
    sm_store *s = NULL;
    sm_snapshot *snapshot = NULL;
    assert_ok(sm_store_open(test_stores, kit_uri(&k, "silver/orders"), &s, &e), &e);
    assert_ok(sm_snapshot_open(s, SM_VERSION_LATEST, k.budget, &snapshot, &e), &e);
    assert_int_equal(sm_snapshot_version(snapshot), RACERS * APPENDS);
    sm_snapshot_release(snapshot);
    sm_store_release(s);
    kit_release(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failing_calls),
        cmocka_unit_test(test_kills),
        cmocka_unit_test(test_race),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
