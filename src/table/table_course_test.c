/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_course_test.c: publications of three tables, step by step: two publishers, a helper,
 * foreign writers and readers take their steps in random order. Whatever happens, every reader sees
 * a publication in all tables or in none, at any time. */
#include "orders.h"

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
static bool has_file(sm_snapshot *s, sm_str key)
{
    int64_t n = 0;
    sm_error e = {0};

    if (s) {
        assert_ok(sm_snapshot_list(s, &e), &e);
    }
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schedules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
