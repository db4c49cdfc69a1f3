/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_journal_test.c: publications of three tables, interrupted at each call to the store;
 * and two publishers, a helper, foreign writers and readers whose steps come in random order.
 * Whatever happens, every reader sees a publication in all tables or in none, at any time. */
#include "orders.h"

#include "base/json_write.h"
#include "base/random.h"
#include "base/text.h"
#include "table/table_int.h"

#define TABLES 3

static const char *const paths[TABLES] = {"bronze/a", "silver/b", "gold/c"};

/* ---- a lake of tables whose files need not exist --------------------------------------------- */

typedef struct world {
    sm_arena *arena;
    sm_str lake;
    sm_store *tables[TABLES];
    const sm_type *schema;
    int n_foreign;
} world;

static void world_init(world *w)
{
    static int number = 0;
    sm_error e = {0};

    *w = (world){.arena = sm_arena_new(NULL)};
    w->lake = sm_arena_strf(w->arena, "memory://journal_test_%d", number++);
    assert_ok(sm_type_parse(SM_STR("STRUCT(id BIGINT)"), w->arena, &w->schema, &e), &e);
    for (int i = 0; i < TABLES; i++) {
        const sm_str uri = sm_arena_strf(w->arena, "%.*s/%s", SM_STR_ARG(w->lake), paths[i]);
        assert_ok(sm_store_open(test_stores, uri, &w->tables[i], &e), &e);
    }
}

/* Deletes all objects, so that their memory is freed. */
static void delete_all(sm_arena *a, sm_str uri)
{
    sm_store *lake = NULL;
    sm_entry *entries = NULL;
    int64_t n = 0;
    sm_error e = {0};

    assert_ok(sm_store_open(test_stores, uri, &lake, &e), &e);
    assert_ok(sm_store_list(lake, SM_STR(""), false, a, &entries, &n, &e), &e);
    for (int64_t i = 0; i < n; i++) {
        assert_ok(sm_store_delete(lake, entries[i].key, &e), &e);
    }
    sm_store_release(lake);
}

static void world_release(world *w)
{
    delete_all(w->arena, w->lake);
    for (int i = 0; i < TABLES; i++) {
        sm_store_release(w->tables[i]);
    }
    sm_arena_free(w->arena);
}

static sm_delta_add *add_of(world *w, sm_str key)
{
    sm_delta_add *add = SM_NEW(w->arena, sm_delta_add);
    *add =
        (sm_delta_add){.key = key, .size_bytes = 100, .modified_ms = 1650000000001, .n_rows = -1};
    add->ranges = SM_NEW_ARRAY(w->arena, sm_range, 1);
    add->n_rows = 1;
    return add;
}

static const sm_delta_metadata *metadata_of(world *w)
{
    sm_delta_metadata *m = SM_NEW(w->arena, sm_delta_metadata);
    *m = (sm_delta_metadata){.id = SM_STR("11111111-2222-4333-8444-555555555555"),
                             .schema = w->schema,
                             .created_ms = 1650000000000};
    return m;
}

static sm_snapshot *newest(const world *w, int table)
{
    sm_error e = {0};
    sm_snapshot *s = NULL;
    bool exists = false;

    assert_ok(sm_delta_exists(w->tables[table], &exists, &e), &e);
    if (exists) {
        assert_ok(sm_snapshot_open(w->tables[table], SM_VERSION_LATEST, NULL, &s, &e), &e);
    }
    return s;
}

/* A commit by a writer that knows of no journal: it adds a file, or removes one (is_delete). */
static void foreign(world *w, int table, bool is_delete)
{
    sm_snapshot *s = newest(w, table);
    int64_t n = 0, version = 0;
    const sm_delta_file *files = s ? sm_snapshot_files(s, &n) : NULL;
    const sm_delta_file *remove = n > 0 ? &files[0] : NULL;
    const bool removes = is_delete && n > 0;
    sm_error e = {0};

    const sm_delta_commit c = {
        .operation = removes ? SM_STR("DELETE") : SM_STR("WRITE"),
        .metadata = s ? NULL : metadata_of(w),
        .adds = add_of(w, sm_arena_strf(w->arena, "foreign%d.parquet", w->n_foreign++)),
        .n_adds = removes ? 0 : 1,
        .removes = &remove,
        .n_removes = removes ? 1 : 0,
    };
    assert_ok(sm_delta_commit_write(w->tables[table], s, &c, NULL, &version, &e), &e);
    sm_snapshot_release(s);
}

/* Makes the first n tables, each with one file; a publication makes the others. */
static void make_tables(world *w, int n)
{
    for (int i = 0; i < n; i++) {
        foreign(w, i, false);
    }
}

/* Has the snapshot that file? */
static bool has_file(const sm_snapshot *s, sm_str key)
{
    int64_t n = 0;
    const sm_delta_file *files = s ? sm_snapshot_files(s, &n) : NULL;

    for (int64_t i = 0; i < n; i++) {
        if (sm_str_eq(files[i].key, key)) {
            return true;
        }
    }
    return false;
}

/* How many of the tables have the publication's file. */
static int count_published(const world *w, sm_str name)
{
    int n = 0;

    for (int i = 0; i < TABLES; i++) {
        sm_snapshot *s = newest(w, i);
        n += has_file(s, name);
        sm_snapshot_release(s);
    }
    return n;
}

/* ---- a publisher, step by step --------------------------------------------------------------- */

typedef enum actor_state { ACTOR_LIST, ACTOR_PUT, ACTOR_COURSE, ACTOR_OVER } actor_state;

/* A publisher that adds the file `name` to each table. If it reads, its commit to the second table
 * has read all of it, so that every other commit is in conflict with it. */
typedef struct publisher {
    world *world;
    sm_arena *arena;
    sm_str name;
    bool reads;
    sm_snapshot *bases[TABLES];
    smi_journal journal;
    smi_publication p;
    smi_course course;
    actor_state state;
    sm_status outcome;
} publisher;

static void publisher_init(publisher *a, world *w, const char *name, bool reads)
{
    *a = (publisher){
        .world = w, .arena = sm_arena_new(NULL), .name = sm_str_of(name), .reads = reads};
    for (int i = 0; i < TABLES; i++) {
        a->bases[i] = newest(w, i);
    }
}

static void publisher_release(publisher *a)
{
    for (int i = 0; i < TABLES; i++) {
        sm_snapshot_release(a->bases[i]);
    }
    if (a->course.parts) {
        smi_course_release(&a->course);
    }
    if (a->journal.store) {
        smi_journal_close(&a->journal);
    }
    sm_arena_free(a->arena);
}

static void prepare_parts(publisher *a)
{
    sm_error e = {0};

    a->p.parts = SM_NEW_ARRAY(a->arena, smi_part, TABLES);
    a->p.n_parts = TABLES;
    for (int i = 0; i < TABLES; i++) {
        const sm_delta_commit c = {
            .id = smi_part_id(&a->p, i, a->arena),
            .metadata = a->bases[i] ? NULL : metadata_of(a->world),
            .adds = add_of(a->world, a->name),
            .n_adds = 1,
            .isolation = i == 1 && a->reads ? SM_READ_ALL : SM_READ_NOTHING,
            .info_json = smi_mark_json(&a->p, -1, a->arena),
        };
        a->p.parts[i].path = sm_str_of(paths[i]);
        assert_ok(sm_delta_prepare(a->bases[i], &c, a->arena, &a->p.parts[i].commit, &e), &e);
    }
}

static void publisher_list(publisher *a)
{
    sm_error e = {0};

    if (!a->journal.store) {
        assert_ok(smi_journal_open(test_stores, a->world->lake, NULL, &a->journal, &e), &e);
    }
    assert_ok(smi_journal_list(&a->journal, &e), &e);
}

/* The lake's id; of a publication that is open also what it is. False: it is over meanwhile. */
static bool publisher_read(publisher *a, smi_publication *open, sm_str *lake_id)
{
    sm_error e = {0};
    sm_status st;

    if (smi_journal_is_open(&a->journal)) {
        st = smi_journal_read(&a->journal, a->journal.newest, false, a->arena, open, &e);
        *lake_id = open->lake_id;
    } else {
        st = smi_journal_lake_id(&a->journal, a->arena, lake_id, &e);
    }
    assert_true(st == SM_OK || st == SM_NOT_FOUND);
    return st == SM_OK;
}

static void publisher_prepare(publisher *a, sm_str lake_id)
{
    char uuid[SM_UUID_BYTES];

    sm_uuid(uuid);
    a->p = (smi_publication){
        .number = a->journal.newest + 1,
        .lake_id = lake_id.len > 0 ? lake_id : SM_STR("the lake"),
        .id = sm_arena_str(a->arena, sm_str_of(uuid)),
    };
    prepare_parts(a);
    smi_course_init(&a->course, &a->journal, &a->p, NULL);
}

/* Everything before the entry is put. */
static void publisher_begin(publisher *a)
{
    smi_publication open = {0};
    sm_str told, lake_id = {0};
    sm_status st = SM_OK;
    sm_error e = {0};

    publisher_list(a);
    if (!publisher_read(a, &open, &lake_id)) {
        return;
    }
    publisher_prepare(a, lake_id);
    if (smi_journal_is_open(&a->journal)) {
        st = smi_course_weigh(&a->course, &open, &e);
        assert_int_equal(st, a->reads || !a->bases[TABLES - 1] ? SM_CONFLICT : SM_OK);
        if (st == SM_OK) {
            assert_ok(smi_journal_settle(&a->journal, NULL, a->arena, &told, &e), &e);
            assert_int_equal(a->journal.newest, open.number); /* there are only two publishers */
        }
    }
    if (st == SM_OK) {
        st = smi_course_look(&a->course, &e);
        assert_true(st == SM_OK || st == SM_CONFLICT);
    }
    a->state = st == SM_OK ? ACTOR_PUT : ACTOR_OVER;
    a->outcome = st;
}

static void publisher_put(publisher *a)
{
    sm_error e = {0};

    const sm_status st = smi_journal_put(&a->journal, &a->p, &e);
    assert_true(st == SM_OK || st == SM_EXISTS);
    if (st == SM_OK) {
        a->journal.newest = a->p.number;
        a->journal.has_verdict = a->journal.is_done = false;
        a->state = ACTOR_COURSE;
    } else {
        smi_course_release(&a->course);
        a->state = ACTOR_LIST;
    }
}

static void publisher_course(publisher *a)
{
    sm_error e = {0};

    assert_ok(smi_course_step(&a->course, &e), &e);
    if (a->course.state != SMI_COURSE_OVER) {
        return;
    }
    if (a->course.is_passed && a->course.outcome == SMI_OUTCOME_NONE) {
        smi_course_release(&a->course);
        a->state = ACTOR_LIST; /* it never counted */
    } else {
        a->outcome = smi_course_told(&a->course, &e);
        a->state = ACTOR_OVER;
    }
}

/* One step of what sm_publish does, with at most one change to the store. */
static void publisher_step(publisher *a)
{
    if (a->state == ACTOR_LIST) {
        publisher_begin(a);
    } else if (a->state == ACTOR_PUT) {
        publisher_put(a);
    } else if (a->state == ACTOR_COURSE) {
        publisher_course(a);
    }
}

/* ---- a helper: what a writer does first ------------------------------------------------------ */

typedef struct helper {
    world *world;
    sm_arena *arena;
    smi_journal journal;
    smi_publication p;
    smi_course course;
} helper;

static void helper_release(helper *h)
{
    if (h->course.parts) {
        smi_course_release(&h->course);
    }
    if (h->journal.store) {
        smi_journal_close(&h->journal);
    }
    sm_arena_free(h->arena);
}

static void helper_step(helper *h)
{
    sm_error e = {0};

    if (h->course.parts) {
        assert_ok(smi_course_step(&h->course, &e), &e);
        if (h->course.state == SMI_COURSE_OVER) {
            smi_course_release(&h->course);
        }
        return;
    }
    if (!h->journal.store) {
        h->arena = sm_arena_new(NULL);
        assert_ok(smi_journal_open(test_stores, h->world->lake, NULL, &h->journal, &e), &e);
    }
    assert_ok(smi_journal_list(&h->journal, &e), &e);
    if (smi_journal_is_open(&h->journal) &&
        smi_journal_read(&h->journal, h->journal.newest, false, h->arena, &h->p, &e) == SM_OK) {
        smi_course_init(&h->course, &h->journal, &h->p, NULL);
    }
}

/* ---- a reader: one command that looks at all tables ------------------------------------------ */

typedef struct reader {
    world *world;
    smi_pins pins;
    int n_read;
    bool has_first[TABLES], has_second[TABLES];
} reader;

static void reader_step(reader *r, int table)
{
    sm_snapshot *s = NULL;
    sm_error e = {0};

    if (r->n_read == 0) {
        smi_pins_init(&r->pins, NULL);
    }
    const sm_status st = smi_pins_open(&r->pins, r->world->tables[table], &s, &e);
    if (st != SM_NOT_FOUND) {
        assert_ok(st, &e);
    }
    r->has_first[table] = has_file(s, SM_STR("first.parquet"));
    r->has_second[table] = has_file(s, SM_STR("second.parquet"));
    sm_snapshot_release(s);
    if (++r->n_read == TABLES) {
        smi_pins_release(&r->pins);
        for (int i = 1; i < TABLES; i++) {
            assert_int_equal(r->has_first[i], r->has_first[0]);
            assert_int_equal(r->has_second[i], r->has_second[0]);
        }
        r->n_read = 0;
    }
}

static void reader_release(reader *r)
{
    while (r->n_read > 0) {
        reader_step(r, r->n_read);
    }
}

/* ---- all of them, in an order drawn by chance ------------------------------------------------ */

typedef struct chance {
    uint64_t state;
} chance;

static uint32_t draw(chance *c, uint32_t n)
{
    c->state = c->state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(c->state >> 33) % n;
}

typedef struct outcomes {
    int committed, reversed, abandoned, passed;
    int lost; /* before they came into the journal */
} outcomes;

static void count_outcome(const publisher *a, outcomes *t)
{
    const smi_course *c = &a->course;

    t->committed += c->outcome == SMI_OUTCOME_COMMITTED;
    t->reversed += c->outcome == SMI_OUTCOME_REVERSED;
    const bool is_lost = a->journal.newest < a->p.number;
    t->lost += is_lost;
    t->abandoned += c->outcome == SMI_OUTCOME_NONE && !is_lost;
    t->passed += c->is_passed;
}

/* For how long tables were mixed is known to who has committed them. */
static void check_mixed(const smi_course *c)
{
    const int64_t mixed_ns = smi_course_mixed_ns(c);

    if (c->outcome == SMI_OUTCOME_NONE) {
        assert_int_equal(mixed_ns, 0);
    } else if (c->is_passed) {
        assert_int_equal(mixed_ns, -1);
    } else {
        assert_true(mixed_ns > 0);
    }
}

/* Is what the publisher says true of the tables? */
static void check_told(const world *w, const publisher *a)
{
    const int n = count_published(w, a->name);

    if (n != (a->outcome == SM_OK ? TABLES : 0)) {
        fail_msg("%.*s is in %d tables, told %s", SM_STR_ARG(a->name), n,
                 sm_status_name(a->outcome));
    }
    assert_int_equal(a->outcome == SM_OK, a->course.outcome == SMI_OUTCOME_COMMITTED);
    check_mixed(&a->course);
    for (int i = 0; i < TABLES; i++) {
        assert_int_equal(smi_course_version(&a->course, i) >= 0, a->outcome == SM_OK);
    }
}

/* n_foreign: how many foreign commits at most. They only add files: a removed one could make it
 * impossible to take a commit back. */
static void run_schedule(uint64_t seed, uint32_t n_foreign, outcomes *t)
{
    chance c = {.state = seed};
    world w;
    publisher first, second;
    reader readers[2];
    uint32_t left = n_foreign;

    world_init(&w);
    make_tables(&w, TABLES - (int)draw(&c, 2));
    publisher_init(&first, &w, "first.parquet", true);
    publisher_init(&second, &w, "second.parquet", draw(&c, 2) > 0);
    helper h = {.world = &w};
    const uint32_t pace = 1 + draw(&c, 8); /* one of the publishers may be slow */
    for (int i = 0; i < 2; i++) {
        readers[i] = (reader){.world = &w};
    }
    while (first.state != ACTOR_OVER || second.state != ACTOR_OVER) {
        const uint32_t who = draw(&c, 8 + pace);
        if (who == 0 && first.state != ACTOR_OVER) {
            publisher_step(&first);
        } else if (who == 1 && left > 0) {
            left--;
            foreign(&w, (int)draw(&c, TABLES), false);
        } else if (who == 2 || who == 3) {
            helper_step(&h);
        } else if (who == 4 || who == 5) {
            reader_step(&readers[who - 4], readers[who - 4].n_read);
        } else if (who > 5 && who < 7 + pace / 2 && second.state != ACTOR_OVER) {
            publisher_step(&second);
        }
    }
    while (h.course.parts) {
        helper_step(&h);
    }
    for (int i = 0; i < 2; i++) {
        reader_release(&readers[i]);
    }
    check_told(&w, &first);
    check_told(&w, &second);
    count_outcome(&first, t);
    count_outcome(&second, t);
    publisher_release(&first);
    publisher_release(&second);
    helper_release(&h);
    world_release(&w);
}

static void test_schedules(void **state)
{
    const char *given = sm_env("SMELT_SEED");
    int64_t seed = 1;
    outcomes t = {0};

    assert_true(!given || sm_parse_i64(sm_str_of(given), &seed));
    for (int i = 0; i < 1500; i++) {
        run_schedule((uint64_t)seed + (uint64_t)i * 1000003u, (uint32_t)i % 4, &t);
    }
    print_message(
        "seed %d: %d committed, %d reversed, %d abandoned, %d of them passed over, %d lost "
        "before\n",
        (int)seed, t.committed, t.reversed, t.abandoned, t.passed, t.lost);
    assert_true(t.committed > 100 && t.reversed > 20 && t.abandoned > 5 && t.passed > 20);
    assert_true(t.lost > 100);
}

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
    char *format = strstr((char *)text.data, "\"smelt_journal\":1");
    assert_non_null(format);
    format[strlen("\"smelt_journal\":")] = '2';
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
        cmocka_unit_test(test_schedules),
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
