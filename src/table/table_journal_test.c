/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_journal_test.c: publications of three tables, interrupted at each call to the store;
 * foreign commits between two of theirs; the journal's text. Whatever happens, readers see a
 * publication in all tables or in none. Several processes at once: table_course_test.c. */
#include "orders.h"

#include "base/json_write.h"
#include "table/table_int.h"

#define TABLES 3

static const char *const paths[TABLES] = {"bronze/a", "silver/b", "gold/c"};

/* ---- interrupted at each call to the store ------------------------------------------------- */

/* A lake in memory, because there are hundreds of them. */
static void lake_init(kit *k)
{
    static int number = 0;

    *k = (kit){0};
    snprintf(k->at.path, sizeof(k->at.path), "memory://journal_lake_%d", number++);
    kit_open(k);
}

static void lake_release(kit *k)
{
    delete_all(k->arena, sm_str_of(k->at.path));
    kit_close(k);
}

static const order old_rows[] = {{"2022-04-01", "anna", 5}};
static const order new_rows[] = {{"2022-04-02", "bert", 7}};
static const order late_rows[] = {{"2022-04-03", "carl", 9}};
#define OLD_TEXT  "2022-04-01 anna 5;"
#define NEW_TEXT  "2022-04-02 bert 7;"
#define LATE_TEXT "2022-04-03 carl 9;"

static sm_write write_to(kit *k, int table, sm_write_mode mode)
{
    return (sm_write){.uri = kit_uri(k, paths[table]), .mode = mode};
}

/* Table a gets further rows, the rows of b are replaced, c is new. */
static const sm_write_mode modes[TABLES] = {SM_WRITE_APPEND, SM_WRITE_OVERWRITE, SM_WRITE_APPEND};

static void make_rows(kit *k)
{
    sm_error e = {0};

    for (int i = 0; i < TABLES - 1; i++) {
        const sm_write w = write_to(k, i, SM_WRITE_APPEND);
        assert_ok(write_orders(k, &w, old_rows, 1, NULL, &e), &e);
    }
}

static void stage_all(kit *k, sm_candidate **c)
{
    sm_error e = {0};

    for (int i = 0; i < TABLES; i++) {
        const sm_write w = write_to(k, i, modes[i]);
        assert_ok(stage_orders(k, &w, new_rows, 1, 1, &c[i], &e), &e);
    }
}

static void release_all(sm_candidate **c)
{
    for (int i = 0; i < TABLES; i++) {
        sm_candidate_release(c[i]);
    }
}

/* A table's rows as these names see it; "" where it is not there. */
static const char *rows_of(kit *k, sm_names *n, int table)
{
    const char *slash = strchr(paths[table], '/');
    const sm_str layer = {paths[table], (size_t)(slash - paths[table])};
    sm_relation r = {0};
    sm_error e = {0};

    const sm_status st =
        resolve(n, k->arena, sm_arena_str(k->arena, layer).data, slash + 1, &r, &e);
    if (st == SM_NAME) {
        return "";
    }
    assert_ok(st, &e);
    return read_relation_text(k, &r);
}

/* Do all tables from `from` on have the publication? They must agree; b says nothing where somebody
 * has deleted its rows (without_b). */
static bool are_published(kit *k, sm_names *n, int from, bool without_b)
{
    static const char *const before[] = {OLD_TEXT, OLD_TEXT, ""};
    static const char *const after[] = {OLD_TEXT NEW_TEXT, NEW_TEXT, NEW_TEXT};
    int n_after = 0, n_asked = 0;

    for (int i = from; i < TABLES; i++) {
        if (i == 1 && without_b) {
            assert_string_equal(rows_of(k, n, i), "");
            continue;
        }
        n_asked++;
        const char *rows = rows_of(k, n, i);
        const size_t len = strlen(rows), late = strlen(LATE_TEXT);
        const bool has_late = len >= late && strcmp(rows + len - late, LATE_TEXT) == 0;
        const sm_str own = {rows, len - (has_late ? late : 0)};
        n_after += sm_str_is(own, after[i]);
        if (!sm_str_is(own, before[i]) && !sm_str_is(own, after[i])) {
            fail_msg("%s has %s", paths[i], rows);
        }
    }
    if (n_after != 0 && n_after != n_asked) {
        fail_msg("%d of %d tables are published", n_after, n_asked);
    }
    return n_after > 0;
}

static bool are_published_now(kit *k, bool without_b)
{
    sm_names *n = sm_names_new(test_stores, sm_str_of(k->at.path), k->budget);
    const bool out = are_published(k, n, 0, without_b);
    sm_names_free(n);
    return out;
}

/* Another run of smelt appends a row to table a. */
static void write_late(kit *k)
{
    const sm_write w = write_to(k, 0, SM_WRITE_APPEND);
    sm_error e = {0};

    assert_ok(write_orders(k, &w, late_rows, 1, NULL, &e), &e);
}

/* Removes all files of a table, as a DELETE of another program does. */
static void delete_rows(kit *k, const char *table)
{
    sm_store *s = NULL;
    sm_snapshot *base = NULL;
    int64_t n = 0, version = 0;
    sm_error e = {0};

    assert_ok(sm_store_open(test_stores, kit_uri(k, table), &s, &e), &e);
    assert_ok(sm_snapshot_open(s, SM_VERSION_LATEST, k->budget, &base, &e), &e);
    const sm_delta_file *files = sm_snapshot_files(base, &n);
    const sm_delta_file **removes = SM_NEW_ARRAY(k->arena, const sm_delta_file *, n);
    for (int64_t i = 0; i < n; i++) {
        removes[i] = &files[i];
    }
    const sm_delta_commit c = {.operation = SM_STR("DELETE"), .removes = removes, .n_removes = n};
    assert_ok(sm_delta_commit_write(s, base, &c, k->budget, &version, &e), &e);
    sm_snapshot_release(base);
    sm_store_release(s);
}

static void arm(const char *kind, int64_t at)
{
    char plan[64];

    snprintf(plan, sizeof(plan), "at=%d,kind=%s", (int)at, kind);
    assert_int_equal(setenv("SMELT_FAULT", plan, 1), 0);
}

/* How many calls to the store staging makes; those of the publication come after them. */
static int64_t count_staging(void)
{
    kit k;
    sm_candidate *c[TABLES] = {0};
    sm_store *any = NULL;
    sm_error e = {0};

    lake_init(&k);
    make_rows(&k);
    arm("error", 1000000);
    stage_all(&k, c);
    assert_ok(sm_store_open(test_stores, sm_str_of(k.at.path), &any, &e), &e);
    const int64_t n = sm_fault_calls(any);
    sm_store_release(any);
    unsetenv("SMELT_FAULT");
    release_all(c);
    lake_release(&k);
    return n;
}

/* Readers of all kinds around a publication whose k-th call fails (or is carried out, and its
 * answer lost); then perhaps a DELETE in b by somebody who knows of no journal; then another
 * writer, who first has to bring the publication to its end. */
static bool interrupt(const char *kind, int64_t at, bool is_foreign)
{
    kit k;
    sm_candidate *c[TABLES] = {0};
    int64_t versions[TABLES], mixed_ns = 0;
    sm_error e = {0};

    lake_init(&k);
    make_rows(&k);
    sm_names *early = sm_names_new(test_stores, sm_str_of(k.at.path), k.budget);
    assert_string_equal(rows_of(&k, early, 0), OLD_TEXT);

    arm(kind, at);
    stage_all(&k, c);
    const int64_t start_ns = sm_monotonic_ns();
    const sm_status st = sm_publish(c, TABLES, k.budget, versions, &mixed_ns, &e);
    assert_true(st != SM_OK || (mixed_ns > 0 && mixed_ns < sm_monotonic_ns() - start_ns));
    release_all(c);
    sm_store *any = open_scratch(&k.at);
    const bool has_fired = sm_fault_has_fired(any);
    sm_store_release(any);
    unsetenv("SMELT_FAULT");

    assert_true(st == SM_OK || has_fired);
    for (int i = 0; i < TABLES; i++) {
        assert_int_equal(versions[i], st != SM_OK ? -1 : i < 2 ? 1 : 0);
    }
    const bool is_seen = are_published_now(&k, false);
    assert_true(st != SM_OK || is_seen);
    sm_names *meanwhile = sm_names_new(test_stores, sm_str_of(k.at.path), k.budget);
    assert_string_equal(rows_of(&k, meanwhile, 0), is_seen ? OLD_TEXT NEW_TEXT : OLD_TEXT);

    if (is_foreign) {
        delete_rows(&k, paths[1]);
    }
    write_late(&k);
    assert_int_equal(are_published(&k, early, is_foreign ? 2 : 1, false), false);
    assert_int_equal(are_published(&k, meanwhile, is_foreign ? 2 : 1, false), is_seen);
    sm_names_free(early);
    sm_names_free(meanwhile);
    const bool is_done = are_published_now(&k, is_foreign);
    assert_true(is_done || !is_seen);
    assert_true(is_done || st != SM_OK);
    const char *rows = table_text(&k, "bronze", "a");
    assert_string_equal(rows, is_done ? OLD_TEXT NEW_TEXT LATE_TEXT : OLD_TEXT LATE_TEXT);
    lake_release(&k);
    return has_fired;
}

static void test_interrupted(void **state)
{
    static const char *const kinds[] = {"error", "lost", "torn", "disk_full"};
    const int64_t n_staging = count_staging();

    for (int i = 0; i < 2 * SM_COUNT(kinds); i++) {
        int64_t k = 1;
        while (interrupt(kinds[i / 2], n_staging + k, i % 2 == 1)) {
            k++;
        }
        print_message("%s: %d calls\n", kinds[i / 2], (int)k - 1);
        assert_true(k > 12);
    }
}

/* ---- foreign commits between two of its own -------------------------------------------------- */

/* Fails the publication at the call at which table a is committed and b is not. */
static void publish_until_between(kit *k, sm_candidate **c)
{
    const int64_t n_staging = count_staging();
    int64_t versions[TABLES];
    sm_error e = {0};

    for (int64_t at = n_staging + 1;; at++) {
        lake_init(k);
        make_rows(k);
        arm("error", at);
        stage_all(k, c);
        assert_status(sm_publish(c, TABLES, k->budget, versions, NULL, &e), SM_IO, &e);
        unsetenv("SMELT_FAULT");
        release_all(c);
        sm_store *a = open_store(kit_uri(k, paths[0]).data);
        sm_store *b = open_store(kit_uri(k, paths[1]).data);
        sm_snapshot *of_a = NULL, *of_b = NULL;
        assert_ok(sm_snapshot_open(a, SM_VERSION_LATEST, k->budget, &of_a, &e), &e);
        assert_ok(sm_snapshot_open(b, SM_VERSION_LATEST, k->budget, &of_b, &e), &e);
        const bool is_between = sm_snapshot_version(of_a) == 1 && sm_snapshot_version(of_b) == 0;
        sm_snapshot_release(of_a);
        sm_snapshot_release(of_b);
        sm_store_release(a);
        sm_store_release(b);
        if (is_between) {
            return;
        }
        lake_release(k);
    }
}

/* The next writer cannot publish b any more, and takes a back. */
static void test_taken_back(void **state)
{
    kit k;
    sm_candidate *c[TABLES] = {0};
    sm_str told = {0};
    sm_error e = {0};

    publish_until_between(&k, c);
    delete_rows(&k, paths[1]);
    assert_string_equal(table_text(&k, "bronze", "a"), OLD_TEXT); /* readers see none of it yet */
    assert_ok(sm_lake_settle(test_stores, sm_str_of(k.at.path), k.budget, k.arena, &told, &e), &e);
    assert_true(sm_str_is(told, "a publication that was left open (bronze.a, silver.b, gold.c) was "
                                "taken back, for another writer stood in its way"));
    assert_string_equal(table_text(&k, "bronze", "a"), OLD_TEXT);
    assert_string_equal(table_text(&k, "silver", "b"), "");
    sm_names *n = sm_names_new(test_stores, sm_str_of(k.at.path), k.budget);
    assert_string_equal(rows_of(&k, n, 2), "");
    sm_names_free(n);
    assert_ok(sm_lake_settle(test_stores, sm_str_of(k.at.path), k.budget, k.arena, &told, &e), &e);
    assert_int_equal(told.len, 0);
    write_late(&k);
    assert_string_equal(table_text(&k, "bronze", "a"), OLD_TEXT LATE_TEXT);
    lake_release(&k);
}

/* Rows that others appended after ours stay when ours are taken back. */
static void test_taken_back_beside_others(void **state)
{
    kit k;
    sm_candidate *c[TABLES] = {0}, *late = NULL;
    sm_str told = {0};
    int64_t version = 0;
    sm_error e = {0};

    publish_until_between(&k, c);
    const sm_write w = write_to(&k, 0, SM_WRITE_APPEND);
    assert_ok(stage_orders(&k, &w, late_rows, 1, 1, &late, &e), &e);
    late->keeps_files = true;
    assert_ok(sm_delta_commit_write(late->store, late->base, &late->record, k.budget, &version, &e),
              &e);
    assert_int_equal(version, 2);
    sm_candidate_release(late);
    delete_rows(&k, paths[1]);
    assert_ok(sm_lake_settle(test_stores, sm_str_of(k.at.path), k.budget, k.arena, &told, &e), &e);
    assert_string_equal(table_text(&k, "bronze", "a"), OLD_TEXT LATE_TEXT);
    lake_release(&k);
}

/* A commit whose file others have removed cannot be taken back; the publisher is told so. */
static void test_not_to_be_taken_back(void **state)
{
    kit k;
    sm_candidate *c[TABLES] = {0};
    sm_str told = {0};
    smi_publication p = {0};
    smi_journal j = {0};
    smi_course course = {0};
    sm_error e = {0};

    publish_until_between(&k, c);
    assert_ok(smi_journal_open(test_stores, sm_str_of(k.at.path), k.budget, &j, &e), &e);
    assert_ok(smi_journal_read(&j, j.newest, false, k.arena, &p, &e), &e);
    smi_course_init(&course, &j, &p, k.budget);
    delete_rows(&k, paths[0]);
    delete_rows(&k, paths[1]);
    assert_ok(smi_course_run(&course, &e), &e);
    assert_int_equal(course.outcome, SMI_OUTCOME_REVERSED);
    assert_int_equal(smi_course_version(&course, 0), 1);
    assert_int_equal(smi_course_version(&course, 1), -1);
    assert_status(smi_course_told(&course, &e), SM_CONFLICT, &e);
    assert_string_equal(e.what, "version 1 of another writer has removed a file that this one "
                                "removes");
    assert_string_equal(e.frame[0], "table silver.b");
    assert_string_equal(e.todo, "Published, and not taken back because of what others wrote since: "
                                "bronze.a@v1. The same run again does the rest.");
    smi_course_release(&course);
    smi_journal_close(&j);
    assert_ok(sm_lake_settle(test_stores, sm_str_of(k.at.path), k.budget, k.arena, &told, &e), &e);
    assert_int_equal(told.len, 0);
    lake_release(&k);
}

/* ---- losing is cheap ------------------------------------------------------------------------- */

/* The objects in the lake's journal. */
static int64_t count_journal(kit *k)
{
    sm_store *lake = open_scratch(&k->at);
    sm_entry *entries = NULL;
    int64_t n = 0;
    sm_error e = {0};

    assert_ok(sm_store_list(lake, SM_STR("_smelt/journal/"), true, k->arena, &entries, &n, &e), &e);
    sm_store_release(lake);
    return n;
}

/* Whether b's next rows can be published, and what that leaves in the journal. */
static sm_status publish_b(kit *k, sm_candidate *b, int64_t *n_put, sm_error *e)
{
    const sm_str key = SM_STR("_smelt/note");
    const int64_t n = count_journal(k);
    int64_t version = -1;
    sm_buf text = {0};
    sm_error unused = {0};

    sm_candidate_note(b, &(sm_note){.key = key, .text = SM_STR("a note")});
    const sm_status st = sm_publish(&b, 1, k->budget, &version, NULL, e);
    *n_put = count_journal(k) - n;
    assert_int_equal(version >= 0, st == SM_OK);
    assert_int_equal(sm_store_get(b->store, key, &text, &unused),
                     st == SM_OK ? SM_OK : SM_NOT_FOUND);
    sm_buf_release(&text);
    return st;
}

/* Who is in conflict with a publication under way says so at once: it neither completes it nor
 * waits for it. Who can follow it completes it. */
static void test_loser_does_not_help(void **state)
{
    kit k;
    sm_candidate *c[TABLES] = {0}, *b = NULL;
    int64_t n_put = 0;
    sm_error e = {0};

    publish_until_between(&k, c);
    const sm_write w = write_to(&k, 1, SM_WRITE_OVERWRITE);
    assert_ok(stage_orders(&k, &w, late_rows, 1, 1, &b, &e), &e);
    assert_status(publish_b(&k, b, &n_put, &e), SM_CONFLICT, &e);
    assert_string_equal(e.what, "another writer, which is publishing now, has removed a file "
                                "that this one removes");
    assert_string_equal(e.frame[0], "table silver.b");
    assert_string_equal(e.todo, "Nothing was published: it is safe to run again.");
    assert_int_equal(n_put, 0);
    assert_false(are_published_now(&k, false));
    sm_candidate_release(b);
    write_late(&k);
    assert_true(are_published_now(&k, false));
    lake_release(&k);
}

/* Who is in conflict with a publication that is over puts nothing into the journal. */
static void test_loser_puts_nothing(void **state)
{
    kit k;
    sm_candidate *b[2] = {0};
    int64_t n_put = 0;
    sm_error e = {0};

    lake_init(&k);
    make_rows(&k);
    const sm_write w = write_to(&k, 1, SM_WRITE_OVERWRITE);
    for (int i = 0; i < 2; i++) {
        assert_ok(stage_orders(&k, &w, i == 0 ? new_rows : late_rows, 1, 1, &b[i], &e), &e);
    }
    assert_ok(sm_publish(b, 1, k.budget, &(int64_t){0}, NULL, &e), &e);
    assert_status(publish_b(&k, b[1], &n_put, &e), SM_CONFLICT, &e);
    assert_string_equal(e.what, "version 1 of another writer has removed a file that this one "
                                "removes");
    assert_int_equal(n_put, 0);
    assert_string_equal(table_text(&k, "silver", "b"), NEW_TEXT);
    sm_candidate_release(b[0]);
    sm_candidate_release(b[1]);
    lake_release(&k);
}

/* ---- the text -------------------------------------------------------------------------------- */

static void test_publication_as_text(void **state)
{
    sm_arena *a = sm_arena_new(NULL);
    smi_part parts[2] = {
        {.path = SM_STR("silver/a \"b\""),
         .commit = {.base = 12,
                    .isolation = SM_READ_FILES,
                    .read = SM_STR("[{\"column\":\"day\",\"op\":\"is null\"}]"),
                    .text = SM_STR("{\"commitInfo\":{}}\n{\"add\":{}}\n")}},
        {.path = SM_STR("gold/c"),
         .commit = {.base = -1, .isolation = SM_READ_NOTHING, .text = SM_STR("{}\n")}},
    };
    const smi_publication p = {.number = 7,
                               .lake_id = SM_STR("lake"),
                               .id = SM_STR("id"),
                               .parts = parts,
                               .n_parts = SM_COUNT(parts)};
    smi_publication back;
    smi_mark mark = {0};
    sm_buf text = {0};
    sm_error e = {0};

    smi_publication_print(&p, &text);
    const sm_str whole = sm_arena_str(a, sm_buf_str(&text));
    assert_ok(smi_publication_parse(whole, false, a, &back, &e), &e);
    assert_int_equal(back.number, 7);
    assert_true(sm_str_is(back.lake_id, "lake") && sm_str_is(back.id, "id"));
    assert_false(back.is_newer);
    assert_int_equal(back.n_parts, 2);
    for (int i = 0; i < 2; i++) {
        const smi_part *got = &back.parts[i];
        assert_true(sm_str_eq(got->path, parts[i].path));
        assert_int_equal(got->commit.base, parts[i].commit.base);
        assert_int_equal(got->commit.isolation, parts[i].commit.isolation);
        assert_true(sm_str_eq(got->commit.read, parts[i].commit.read));
        assert_true(sm_str_eq(got->commit.text, parts[i].commit.text));
        assert_true(sm_str_eq(got->commit.id, smi_part_id(&p, i, a)));
    }
    assert_false(sm_str_eq(back.parts[0].commit.id, back.parts[1].commit.id));
    assert_ptr_equal(smi_publication_part(&back, SM_STR("gold/c")), &back.parts[1]);
    assert_null(smi_publication_part(&back, SM_STR("gold/d")));

    /* Cut off anywhere it is refused; its first line alone says where the tables lie. */
    const size_t first = (size_t)(strchr(whole.data, '\n') - whole.data) + 1;
    for (size_t n = 0; n < whole.len; n++) {
        const sm_str cut = sm_arena_str(a, (sm_str){whole.data, n});
        assert_true(smi_publication_parse(cut, false, a, &back, &e) != SM_OK);
    }
    assert_ok(smi_publication_parse((sm_str){whole.data, first}, true, a, &back, &e), &e);
    assert_int_equal(back.parts[0].commit.base, 12);

    const sm_str info = sm_arena_strf(a, "{%.*s}", SM_STR_ARG(smi_mark_json(&p, 3, a)));
    assert_true(smi_mark_parse(info, a, &mark));
    assert_true(sm_str_is(mark.lake_id, "lake"));
    assert_int_equal(mark.number, 7);
    assert_false(smi_mark_parse(SM_STR("{\"publication\":7}"), a, &mark));
    assert_false(smi_mark_parse(SM_STR("{\"publi"), a, &mark));
    sm_buf_release(&text);
    sm_arena_free(a);
}

static void test_damaged_publications(void **state)
{
    static const struct {
        const char *text;
        sm_status want;
    } rows[] = {
        {"", SM_SYNTAX},
        {"{}\n", SM_CORRUPT},
        {"{\"smelt_journal\":1,\"lake\":\"l\",\"number\":0,\"publication\":\"p\",\"tables\":[]}\n",
         SM_CORRUPT},
        {"{\"smelt_journal\":1,\"lake\":\"l\",\"number\":1,\"publication\":\"p\",\"tables\":[]}\n",
         SM_CORRUPT},
        {"{\"smelt_journal\":1,\"lake\":\"l\",\"number\":1,\"publication\":\"p\",\"tables\":[{"
         "\"path\":\"../a\",\"base\":1,\"isolation\":\"all\",\"bytes\":1}]}\n\n",
         SM_CORRUPT},
        {"{\"smelt_journal\":1,\"lake\":\"l\",\"number\":1,\"publication\":\"p\",\"tables\":[{"
         "\"path\":\"a/b/c\",\"base\":1,\"isolation\":\"all\",\"bytes\":1}]}\n\n",
         SM_CORRUPT},
        {"{\"smelt_journal\":1,\"lake\":\"l\",\"number\":1,\"publication\":\"p\",\"tables\":[{"
         "\"path\":\"a/b\",\"base\":1,\"isolation\":\"some\",\"bytes\":1}]}\n\n",
         SM_CORRUPT},
        {"{\"smelt_journal\":1,\"lake\":\"l\",\"number\":1,\"publication\":\"p\",\"tables\":[{"
         "\"path\":\"a/b\",\"base\":1,\"isolation\":\"all\",\"bytes\":-1}]}\n\n",
         SM_CORRUPT},
        {"{\"smelt_journal\":1,\"lake\":\"l\",\"number\":1,\"publication\":\"p\",\"tables\":[{"
         "\"path\":\"a/b\",\"base\":1,\"isolation\":\"all\",\"bytes\":1}]}\n\n",
         SM_OK},
    };
    sm_arena *a = sm_arena_new(NULL);
    smi_publication p;

    for (int i = 0; i < SM_COUNT(rows); i++) {
        sm_error e = {0};
        const sm_status st = smi_publication_parse(sm_str_of(rows[i].text), false, a, &p, &e);
        if (st != rows[i].want) {
            fail_msg("row %d: %s", i, sm_status_name(st));
        }
    }
    sm_arena_free(a);
}

/* A publication of a later smelt: writers refuse to go on, readers see the versions before it. */
static void test_newer_format(void **state)
{
    kit k;
    sm_candidate *c[TABLES] = {0};
    sm_buf text = {0};
    sm_error e = {0};
    const sm_str key = SM_STR("_smelt/journal/00000000000000000003.json");

    publish_until_between(&k, c);
    sm_store *lake = open_scratch(&k.at);
    assert_ok(sm_store_get(lake, key, &text, &e), &e);
    sm_buf_text(&text, (sm_str){"", 1}); /* ended by NUL, for strstr */
    text.len--;
    char *format = strstr((char *)text.data, "\"smelt_journal\":3");
    assert_non_null(format);
    format[strlen("\"smelt_journal\":")] = '4';
    assert_ok(sm_store_put(lake, key, text.data, text.len, SM_PUT_REPLACE, &e), &e);
    assert_false(are_published_now(&k, false));
    const sm_write w = write_to(&k, 0, SM_WRITE_APPEND);
    assert_status(write_orders(&k, &w, late_rows, 1, NULL, &e), SM_UNSUPPORTED, &e);
    assert_non_null(strstr(e.what, "publication 3 of lake"));
    assert_non_null(strstr(e.what, "by a later version of smelt"));
    sm_store_release(lake);
    sm_buf_release(&text);
    lake_release(&k);
}

/* What the caller puts into commitInfo is kept whole beside the mark. */
static void test_long_information(void **state)
{
    kit k;
    sm_candidate *c = NULL;
    sm_delta_commit_info info = {0};
    sm_buf said = {0};
    int64_t version = -1, txn = 0, mixed_ns = -1;
    smi_mark mark = {0};
    sm_error e = {0};

    lake_init(&k);
    sm_buf_text(&said, SM_STR("\"smelt\":{\"files\":["));
    for (int i = 0; i < 2000; i++) {
        sm_buf_printf(&said, "%s\"file%d.json\"", i > 0 ? "," : "", i);
    }
    sm_buf_text(&said, SM_STR("]}"));
    const sm_write w = write_to(&k, 0, SM_WRITE_APPEND);
    assert_ok(stage_orders(&k, &w, new_rows, 1, 1, &c, &e), &e);
    sm_candidate_note(c, &(sm_note){.info_json = sm_buf_str(&said)});
    assert_ok(sm_publish(&c, 1, k.budget, &version, &mixed_ns, &e), &e);
    assert_int_equal(version, 0);
    assert_int_equal(mixed_ns, 0); /* one table is never mixed with another */
    assert_ok(sm_delta_info_read(c->store, 0, SM_STR(""), k.arena, &info, &txn, &e), &e);
    assert_non_null(strstr(info.json.data, "\"file1999.json\"]}"));
    assert_true(smi_mark_parse(info.json, k.arena, &mark));
    assert_int_equal(mark.number, 1);
    sm_candidate_release(c);
    sm_buf_release(&said);
    lake_release(&k);
}

/* ---- where tables belong --------------------------------------------------------------------- */

static void test_places(void **state)
{
    static const struct {
        const char *uri, *lake, *path;
    } rows[] = {
        {"/data/lake/silver/orders", "/data/lake", "silver/orders"},
        {"/data/lake/silver/orders/", "/data/lake", "silver/orders"},
        {"/data/lake/bronze/../silver/./orders", "/data/lake", "silver/orders"},
        {"file:///data/lake/silver/orders", "/data/lake", "silver/orders"},
        {"/silver/orders", "", ""}, /* the whole disk is no lake */
        {"/orders", "", ""},
        {"memory://bucket/silver/orders", "memory://bucket", "silver/orders"},
        {"memory://bucket/lake/silver/orders", "memory://bucket/lake", "silver/orders"},
        {"memory://bucket/orders", "", ""},
        {"memory://bucket", "", ""},
    };
    sm_arena *a = sm_arena_new(NULL);

    for (int i = 0; i < SM_COUNT(rows); i++) {
        sm_store *s = open_store(rows[i].uri);
        const smi_lake_place place = smi_lake_of(s, a);
        if (!sm_str_is(place.lake, rows[i].lake) || !sm_str_is(place.path, rows[i].path)) {
            fail_msg("%s: lake %.*s, path %.*s", rows[i].uri, SM_STR_ARG(place.lake),
                     SM_STR_ARG(place.path));
        }
        sm_store_release(s);
    }
    sm_arena_free(a);
}

/* A table that is in no lake is committed by itself, and only alone. */
static void test_no_lake(void **state)
{
    kit k;
    sm_candidate *c[2] = {0};
    int64_t versions[2];
    sm_error e = {0};

    kit_init(&k);
    for (int i = 0; i < 2; i++) {
        const sm_write w = {.uri = i == 0 ? SM_STR("memory://no_lake_test_0")
                                          : SM_STR("memory://no_lake_test_1")};
        assert_ok(stage_orders(&k, &w, new_rows, 1, 1, &c[i], &e), &e);
    }
    assert_status(sm_publish(c, 2, k.budget, versions, NULL, &e), SM_UNSUPPORTED, &e);
    assert_int_equal(versions[0], -1);
    assert_ok(sm_publish(c, 1, k.budget, versions, NULL, &e), &e);
    assert_int_equal(versions[0], 0);
    sm_candidate_release(c[0]);
    sm_candidate_release(c[1]);
    kit_release(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_publication_as_text),
        cmocka_unit_test(test_damaged_publications),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_no_lake),
        cmocka_unit_test(test_interrupted),
        cmocka_unit_test(test_taken_back),
        cmocka_unit_test(test_taken_back_beside_others),
        cmocka_unit_test(test_not_to_be_taken_back),
        cmocka_unit_test(test_loser_does_not_help),
        cmocka_unit_test(test_loser_puts_nothing),
        cmocka_unit_test(test_newer_format),
        cmocka_unit_test(test_long_information),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
