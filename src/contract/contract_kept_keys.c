/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_kept_keys.c: keeps the hashes of the keys of rules about duplicates, of each
 * data file, so that a check reads the keys of new files only. Called by contract_check.c, once for
 * each such rule, between the row rules (contract_kept_files.c) and the rule's own plans.
 *
 * Answer    of smi_keys_narrow(): no key comes twice; or the files in which one may. The rule's own
 *           plans look at the keys themselves there, so that no result rests on a hash.
 * Objects   TABLE/_smelt/verdicts/HASH-N.keys, N = 0, 1, …; HASH is of the rule's key columns.
 *           Behind line 1 (contract_kept.c):
 *             a line   {"table": hash of columns and properties, "repeats": n}
 *             n times  8 bytes, a hash that came again when the object was written
 *             blocks   16 bytes, the file's hash; as LEB128: number of this block, blocks of the
 *                      file, hashes, bytes; then the different hashes in order, as gaps in Rice's
 *                      code: some 6 bytes a row
 *           What a block says of a file is always true of it. What a new file shares with others is
 *           among the repeats of the object that has its blocks. So an object may be lost, or be
 *           there twice, and nothing is missed: files without all of their blocks are new.
 * Method    1 The objects are read: which files have all of their blocks?
 *           2 The keys of the others are hashed, by a scan in the order of the files. They are
 *             sorted, file by file into blocks and then together, so that those that come again
 *             are neighbours.
 *           3 The blocks of the known files are read once more, each merged with the sorted
 *             hashes: which are among these, or among the repeats?
 * Worth     Of a file that has fewer bytes than its hashes none are kept, unless both are few. Such
 *           are read each time; where all are, nothing is done here.
 * Memory    OBJECTS objects; 16 bytes a new row, and its block. Where that is not free, or more
 *           than REPEATS_MAX hashes come again, the rule reads all rows, as without what is kept.
 * Growth    New blocks make one more object, into which those before it are taken that are not more
 *           than twice as long, but for full ones: so there are few, and each row is written a few
 *           times. Blocks of files that are gone stay behind then. */
#include <string.h>

#include "base/hash_set.h"
#include "base/json_doc.h"
#include "contract/contract_kept_int.h"

#define MOST_BYTES   ((size_t)8 << 20)  /* an object is full then; one block more may go in */
#define OBJECTS      3                  /* that are in memory at a time */
#define ROW_BYTES    8                  /* that a new row has in blocks, about */
#define SMALL_BYTES  ((size_t)1 << 20)  /* of so few a request is worth more than reading them */
#define TAIL_BYTES   ((size_t)64 << 10) /* objects that are smaller are put together */
#define SORT_FEW     48                 /* are sorted by insertion */
#define BLOCK_HASHES ((int64_t)1 << 19)
#define PARTS_MAX    64
#define REPEATS_MAX  ((int64_t)1 << 16) /* of more, most files have some */
#define ID_BYTES     sizeof(sm_hash128)

typedef struct keys {
    smi_kept *k;
    smi_kept_files *f;
    const sm_exec_env *env;
    sm_arena *a;
    sm_str name;      /* of the objects, without number */
    sm_str *notes;    /* of reading, of writing */
    sm_map *places;   /* of files, by their hashes: the file's number plus 1 */
    uint64_t *parts;  /* of each file: a bit for each of its blocks that was read … */
    int64_t *n_parts; /* … of so many; 0: none was */
    uint64_t *looked; /* of each file: a bit for each block that was looked through */
    bool *may;        /* of each file: may a key of it come again? */
    size_t *sizes;    /* of the objects */
    int64_t n_objects, cap_sizes;

    const int64_t *at; /* files that are new */
    int64_t n_new;
    int64_t now;      /* of them, the one whose keys come; −1: none came so far */
    sm_block *block;  /* of the next two, n_cap each */
    uint64_t *hashes; /* of new files; those of the one that comes are from `first` on */
    uint64_t *tmp;    /* room to sort them */
    int64_t n, n_cap, first;
    sm_hash_set repeats; /* hashes that may come again */
    sm_hash_set hits;    /* of them, those that some file has … */
    uint64_t *listed;    /* … the same in a list */
    int64_t n_listed, cap_listed;
    sm_buf made;        /* blocks of new files */
    size_t taken_bytes; /* of the budget, for objects and blocks */
} keys;

static sm_hash128 wide(uint64_t hash)
{
    return (sm_hash128){.low = hash};
}

/* ---- hashes in order ------------------------------------------------------------------------- */

/* Sorts by the byte at `shift` and those below; tmp: room for n more. Hashes spread evenly, so the
 * third byte leaves few together. */
static void sort(uint64_t *v, int64_t n, uint64_t *tmp, int shift)
{
    int64_t ends[256] = {0}, at = 0;

    if (n <= SORT_FEW || shift < 0) {
        for (int64_t i = 1; i < n; i++) {
            const uint64_t x = v[i];
            int64_t to = i;
            for (; to > 0 && v[to - 1] > x; to--) {
                v[to] = v[to - 1];
            }
            v[to] = x;
        }
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        ends[v[i] >> shift & 0xff]++;
    }
    for (int b = 0; b < 256; b++) {
        at += ends[b];
        ends[b] = at - ends[b];
    }
    for (int64_t i = 0; i < n; i++) {
        tmp[ends[v[i] >> shift & 0xff]++] = v[i];
    }
    memcpy(v, tmp, (size_t)n * sizeof(*v));
    at = 0;
    for (int b = 0; b < 256; b++) {
        if (ends[b] - at > 1) {
            sort(v + at, ends[b] - at, tmp, shift - 8);
        }
        at = ends[b];
    }
}

/* Low bits of a gap between two of n hashes, which is 2^64 / n on the average: 2 to 63. */
static int low_bits(int64_t n)
{
    int k = 63;

    for (; n > 1 && k > 2; n /= 2) {
        k--;
    }
    return k;
}

/* Bits that go out, the least first. */
typedef struct bits_out {
    uint8_t *next;
    uint64_t held;
    int n_held;
} bits_out;

/* n <= 56 */
static void put_bits(bits_out *b, uint64_t v, int n)
{
    b->held |= (v & ((UINT64_C(1) << n) - 1)) << b->n_held;
    b->n_held += n;
    memcpy(b->next, &b->held, sizeof(b->held));
    b->next += b->n_held / 8;
    b->held >>= b->n_held / 8 * 8;
    b->n_held %= 8;
}

/* Appends n different hashes in order: of each gap its high part as so many ones, a zero, its low
 * part. All high parts together are 2 n at most. */
static void encode(const uint64_t *hashes, int64_t n, sm_buf *out)
{
    const int k = low_bits(n), half = k / 2;
    const size_t most = (size_t)n * 9 + 2 * sizeof(uint64_t);
    uint64_t before = 0;
    sm_error unused;

    SM_ENSURE(sm_buf_reserve(out, most, &unused) == SM_OK); /* it has no bound */
    bits_out b = {.next = out->data + out->len};
    for (int64_t i = 0; i < n; i++) {
        const uint64_t gap = hashes[i] - before;
        for (uint64_t high = gap >> k; high > 0; high--) {
            put_bits(&b, 1, 1);
        }
        put_bits(&b, gap << 1, half + 1);
        put_bits(&b, gap >> half, k - half);
        before = hashes[i];
    }
    out->len = (size_t)(b.next - out->data) + (b.n_held > 0);
    SM_ASSERT(out->len <= out->cap);
}

/* Bits that come in. */
typedef struct bits_in {
    sm_str bytes;
    size_t at; /* bits that were taken */
} bits_in;

/* The next 57 bits, or zeros behind the last. */
static uint64_t see_bits(const bits_in *b)
{
    const size_t from = b->at / 8, left = b->bytes.len > from ? b->bytes.len - from : 0;
    uint64_t word = 0;

    memcpy(&word, b->bytes.data + (left ? from : 0), left < sizeof(word) ? left : sizeof(word));
    return word >> b->at % 8;
}

/* Adds the next gap to *hash; false: there is none. */
static bool decode_next(bits_in *b, int k, uint64_t *hash)
{
    const int half = k / 2;
    uint64_t high = 0, word = see_bits(b);

    for (; word & 1; word = see_bits(b)) {
        high++;
        b->at++;
    }
    const uint64_t low = word >> 1 & ((UINT64_C(1) << half) - 1);
    b->at += (size_t)half + 1;
    const uint64_t rest = see_bits(b) & ((UINT64_C(1) << (k - half)) - 1);
    b->at += (size_t)(k - half);
    *hash += (high << k) + (rest << half) + low;
    return b->at <= b->bytes.len * 8;
}

/* ---- blocks ---------------------------------------------------------------------------------- */

typedef struct key_block {
    int64_t file; /* its number; −1: it is gone */
    int64_t part, n_parts, n;
    sm_str whole, payload;
} key_block;

/* Takes the next block; false: it is damaged. */
static bool take_block(const keys *s, sm_str *in, key_block *out)
{
    const char *start = in->data;
    int64_t n_bytes = 0;

    if (in->len < ID_BYTES) {
        return false;
    }
    out->file = (int64_t)(intptr_t)sm_map_get(s->places, (sm_str){in->data, ID_BYTES}) - 1;
    *in = (sm_str){in->data + ID_BYTES, in->len - ID_BYTES};
    if (!smi_take_varint(in, &out->part) || !smi_take_varint(in, &out->n_parts) ||
        !smi_take_varint(in, &out->n) || !smi_take_varint(in, &n_bytes) ||
        out->n_parts > PARTS_MAX || out->part >= out->n_parts || (size_t)n_bytes > in->len) {
        return false;
    }
    out->payload = (sm_str){in->data, (size_t)n_bytes};
    *in = (sm_str){in->data + n_bytes, in->len - (size_t)n_bytes};
    out->whole = (sm_str){start, (size_t)(in->data - start)};
    return true;
}

static uint64_t all_parts(int64_t n)
{
    return n == PARTS_MAX ? UINT64_MAX : (UINT64_C(1) << n) - 1;
}

static bool is_known(const keys *s, int64_t file)
{
    return s->n_parts[file] > 0 && s->parts[file] == all_parts(s->n_parts[file]);
}

/* Notes that a hash which may come again is in a file. */
static sm_status hit(keys *s, int64_t file, uint64_t hash, sm_error *e)
{
    bool is_new = false;

    s->may[file] = true;
    SM_TRY(sm_hash_set_add(&s->hits, wide(hash), &is_new, e));
    if (is_new) {
        s->listed = sm_arena_grow(s->a, s->listed, s->n_listed, &s->cap_listed, sizeof(hash));
        s->listed[s->n_listed++] = hash;
    }
    return SM_OK;
}

static sm_status add_repeat(keys *s, uint64_t hash, sm_error *e)
{
    SM_TRY(sm_hash_set_add(&s->repeats, wide(hash), NULL, e));
    return s->repeats.n <= REPEATS_MAX ? SM_OK : sm_fail(e, SM_BUDGET, "too many keys come again");
}

/* Is the hash one of new files? They are in order; *at: where the hashes before this one were. */
static bool is_new_hash(const keys *s, uint64_t hash, int64_t *at)
{
    int64_t step = 1, low = *at, high = *at;

    while (high < s->n && s->hashes[high] < hash) {
        low = high + 1;
        high += step;
        step *= 2;
    }
    high = high < s->n ? high : s->n;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (s->hashes[middle] < hash) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *at = low;
    return low < s->n && s->hashes[low] == hash;
}

/* Looks for the hashes of a block among those that may come again, and of a known file among those
 * of new ones. */
static sm_status look_through(keys *s, const key_block *b, bool of_known, sm_error *e)
{
    bits_in in = {.bytes = b->payload};
    const int k = low_bits(b->n);
    uint64_t hash = 0;
    int64_t at = 0;

    SM_TRY(sm_check_cancel(s->env->budget, e));
    for (int64_t i = 0; i < b->n; i++) {
        if (!decode_next(&in, k, &hash)) {
            return sm_fail(e, SM_BUDGET, "a block is cut"); /* then all rows are read */
        }
        const bool is_again = of_known && is_new_hash(s, hash, &at);
        SM_TRY(is_again ? add_repeat(s, hash, e) : SM_OK);
        if (is_again || sm_hash_set_has(&s->repeats, wide(hash))) {
            SM_TRY(hit(s, b->file, hash, e));
        }
    }
    return SM_OK;
}

/* Looks through the blocks of known files, or of others. */
static sm_status look_through_blocks(keys *s, sm_str blocks, bool of_known, sm_error *e)
{
    key_block b = {0};

    while (blocks.len > 0 && take_block(s, &blocks, &b)) {
        if (b.file >= 0 && is_known(s, b.file) == of_known) {
            SM_TRY(look_through(s, &b, of_known, e));
            s->looked[b.file] |= UINT64_C(1) << b.part;
        }
    }
    return SM_OK;
}

/* ---- objects --------------------------------------------------------------------------------- */

/* One that was read: what is in it, if it is of the same columns. */
typedef struct key_object {
    smi_kept_object found; /* the caller's, who releases its bytes */
    sm_str repeats, blocks;
} key_object;

static sm_str key_of(const keys *s, int64_t n)
{
    return sm_arena_strf(s->a, SMI_KEYS_OBJECT, SM_STR_ARG(s->name), (int)n);
}

static void open_body(const keys *s, sm_str body, key_object *out)
{
    const char *end = body.len > 0 ? memchr(body.data, '\n', body.len) : NULL;
    const size_t n_head = end ? (size_t)(end - body.data) : 0;
    const sm_json *o = NULL;
    int64_t n = 0;

    if (!end || sm_json_parse((sm_str){body.data, n_head}, s->a, &o, NULL) != SM_OK ||
        !sm_str_eq(sm_json_text(sm_json_get(o, "table")), smi_files_table(s->f)) ||
        !sm_json_i64(sm_json_get(o, "repeats"), &n)) {
        return;
    }
    const sm_str rest = {end + 1, body.len - n_head - 1};
    if (n < 0 || (uint64_t)n > rest.len / sizeof(uint64_t)) {
        return;
    }
    out->repeats = (sm_str){rest.data, (size_t)n * sizeof(uint64_t)};
    out->blocks = (sm_str){rest.data + out->repeats.len, rest.len - out->repeats.len};
}

static void read_object(const keys *s, int64_t n, key_object *out)
{
    *out = (key_object){0};
    smi_kept_get(s->k, key_of(s, n), &out->found, &s->notes[0]);
    open_body(s, out->found.body, out);
}

static sm_status take_repeats(keys *s, sm_str repeats, sm_error *e)
{
    for (size_t i = 0; i + sizeof(uint64_t) <= repeats.len; i += sizeof(uint64_t)) {
        uint64_t hash = 0;
        memcpy(&hash, repeats.data + i, sizeof(hash));
        SM_TRY(add_repeat(s, hash, e));
    }
    return SM_OK;
}

static void note_parts(keys *s, sm_str blocks)
{
    key_block b = {0};

    while (blocks.len > 0 && take_block(s, &blocks, &b)) {
        if (b.file < 0) {
            continue;
        }
        if (s->n_parts[b.file] == 0) {
            s->n_parts[b.file] = b.n_parts;
        }
        if (s->n_parts[b.file] == b.n_parts) {
            s->parts[b.file] |= UINT64_C(1) << b.part;
        }
    }
}

/* Which files are known, and which hashes come again among them. */
static sm_status find_known(keys *s, sm_error *e)
{
    sm_status st = SM_OK;
    bool is_there = true;

    while (st == SM_OK && is_there) {
        key_object o;
        sm_str unused = {0};
        read_object(s, s->n_objects, &o);
        is_there = o.found.is_there;
        if (is_there) {
            s->sizes = sm_arena_grow(s->a, s->sizes, s->n_objects, &s->cap_sizes, sizeof(size_t));
            s->sizes[s->n_objects++] = o.found.bytes.len;
            note_parts(s, o.blocks);
            st = take_repeats(s, o.repeats, e);
        }
        if (o.found.is_aging) {
            smi_kept_replace(s->k, key_of(s, s->n_objects - 1), o.found.body, &unused);
        }
        sm_buf_release(&o.found.bytes);
    }
    return st;
}

/* Looks through the known files, unless nothing is looked for. Where another check writes the
 * objects anew meanwhile, a block may be missed: then it is not known where keys come again. */
static sm_status look_through_known(keys *s, sm_error *e)
{
    sm_status st = SM_OK;

    if (s->n == 0 && s->repeats.n == 0) {
        return SM_OK;
    }
    for (int64_t n = 0; n < s->n_objects && st == SM_OK; n++) {
        key_object o;
        read_object(s, n, &o);
        st = look_through_blocks(s, o.blocks, true, e);
        sm_buf_release(&o.found.bytes);
    }
    for (int64_t i = 0; i < smi_files_n(s->f) && st == SM_OK; i++) {
        if (is_known(s, i) && s->looked[i] != all_parts(s->n_parts[i])) {
            st = sm_fail(e, SM_BUDGET, "a block has gone");
        }
    }
    return st;
}

/* ---- new files ------------------------------------------------------------------------------- */

static void put_block(keys *s, const sm_hash128 *id, int64_t part, int64_t n_parts,
                      const uint64_t *hashes, int64_t n)
{
    sm_buf payload = {0};

    encode(hashes, n, &payload);
    sm_buf_text(&s->made, (sm_str){(const char *)id, ID_BYTES});
    smi_put_varint(&s->made, (uint64_t)part);
    smi_put_varint(&s->made, (uint64_t)n_parts);
    smi_put_varint(&s->made, (uint64_t)n);
    smi_put_varint(&s->made, payload.len);
    sm_buf_text(&s->made, sm_buf_str(&payload));
    sm_buf_release(&payload);
}

/* Is it less to read the hashes of a file than the file? Of texts they are, of numbers in order,
 * which need a few bits each, they may not be. */
static bool is_worth(const keys *s, int64_t file)
{
    const size_t bytes = (size_t)smi_files_rows_in(s->f, file) * ROW_BYTES;

    return bytes <= SMALL_BYTES || bytes <= smi_files_bytes(s->f, file);
}

/* Makes the blocks of the file whose keys have come; one without a key has an empty one. */
static void end_file(keys *s)
{
    const int64_t file = s->at[s->now];
    uint64_t *v = s->hashes + s->first, *unique = s->tmp;
    int64_t n = 0;

    if (is_worth(s, file)) {
        sort(v, s->n - s->first, s->tmp, 56);
        for (int64_t i = 0; i < s->n - s->first; i++) {
            if (n == 0 || v[i] != unique[n - 1]) {
                unique[n++] = v[i];
            }
        }
        const int64_t n_parts = n == 0 ? 1 : (n + BLOCK_HASHES - 1) / BLOCK_HASHES;
        for (int64_t p = 0; p < n_parts && n_parts <= PARTS_MAX; p++) {
            const int64_t from = p * BLOCK_HASHES, left = n - from;
            put_block(s, smi_files_id(s->f, file), p, n_parts, unique + from,
                      left < BLOCK_HASHES ? left : BLOCK_HASHES);
        }
    }
    s->first = s->n;
}

/* The keys of a file come next; those between have none. */
static void begin_file(keys *s, int64_t file)
{
    SM_ENSURE(file >= s->now);
    while (s->now < file) {
        if (s->now >= 0) {
            end_file(s);
        }
        s->now++;
    }
}

/* Sink: the place of the file, then the hash of the key. */
static sm_status take_hashes(void *ctx, sm_batch *rows, sm_waker waker, sm_error *e)
{
    keys *s = ctx;
    const sm_column *c = &rows->columns[1];
    const uint64_t *hashes = c->values;

    (void)waker;
    if (rows->n_rows == 0) {
        return SM_OK;
    }
    const int64_t file = sm_column_value(&rows->columns[0], 0).as.i;
    SM_ENSURE(sm_column_value(&rows->columns[0], rows->n_rows - 1).as.i == file);
    SM_ENSURE(c->type->id == SM_TYPE_U64 && c->layout != SM_DICT);
    begin_file(s, file);
    /* of a constant two rows tell whether its key comes again */
    const int64_t n = c->layout == SM_CONST && rows->n_rows > 2 ? 2 : rows->n_rows;
    for (int64_t i = 0; i < n; i++) {
        if (!sm_column_is_null(c, i)) {
            SM_ENSURE(s->n < s->n_cap); /* the rows were counted */
            s->hashes[s->n++] = hashes[sm_column_at(c, i)];
        }
    }
    return SM_OK;
}

static sm_status scan_new(keys *s, const sm_expr *const *exprs, int32_t n, sm_error *e)
{
    const sm_sink sink = {.ctx = s, .push = take_hashes};
    const sm_str names[] = {SM_STR("file"), SM_STR("hash")};
    const sm_expr *columns[2] = {NULL, smi_search_hash(exprs, n, s->a)};
    const sm_plan_node *rows = NULL;
    sm_plan *plan = NULL;

    if (s->n_new == 0) {
        return SM_OK;
    }
    SM_TRY(smi_files_rows(s->f, s->at, s->n_new, &rows, e));
    columns[0] = sm_expr_column(rows->schema, rows->schema->n_fields - 1, s->a);
    rows = sm_plan_project(rows, columns, names, SM_COUNT(columns), s->a);
    SM_TRY(sm_plan_finish(rows, s->a, &plan, e));
    SM_TRY(sm_exec_run(plan, s->env, &sink, NULL, NULL, e));
    begin_file(s, s->n_new);
    sort(s->hashes, s->n, s->tmp, 56);
    for (int64_t i = 1; i < s->n; i++) {
        SM_TRY(s->hashes[i] == s->hashes[i - 1] ? add_repeat(s, s->hashes[i], e) : SM_OK);
    }
    return SM_OK;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void print_start(const keys *s, sm_buf *out)
{
    sm_json_writer w = {.out = out};

    sm_json_begin_object(&w);
    sm_json_set_text(&w, "table", smi_files_table(s->f));
    sm_json_set_i64(&w, "repeats", s->n_listed);
    sm_json_end_object(&w);
    sm_json_end_line(&w);
    if (s->n_listed > 0) {
        sm_buf_text(out, (sm_str){(const char *)s->listed, (size_t)s->n_listed * sizeof(uint64_t)});
    }
}

/* Adds blocks of files that are there to objects, from number *n on; full ones are written. */
static void add_blocks(const keys *s, sm_str blocks, sm_buf *body, int64_t *n)
{
    key_block b = {0};

    while (blocks.len > 0 && take_block(s, &blocks, &b)) {
        if (b.file < 0) {
            continue;
        }
        if (body->len == 0) {
            print_start(s, body);
        }
        sm_buf_text(body, b.whole);
        if (body->len >= MOST_BYTES) {
            smi_kept_replace(s->k, key_of(s, (*n)++), sm_buf_str(body), &s->notes[1]);
            sm_buf_reset(body);
        }
    }
}

/* Keeps the new blocks, with those of the last objects that are not more than twice as much. The
 * repeats of these are among the listed ones. */
static void keep(const keys *s)
{
    sm_buf old = {0}, body = {0};
    sm_error unused = {0};
    int64_t n = s->n_objects;
    size_t size = s->made.len;

    if (size == 0) {
        return;
    }
    while (n > 0 && s->sizes[n - 1] / 2 <= (size > TAIL_BYTES ? size : TAIL_BYTES) &&
           size + s->sizes[n - 1] <= MOST_BYTES) {
        key_object o;
        read_object(s, --n, &o);
        sm_buf_text(&old, o.blocks);
        size += s->sizes[n];
        sm_buf_release(&o.found.bytes);
    }
    add_blocks(s, sm_buf_str(&old), &body, &n);
    add_blocks(s, sm_buf_str(&s->made), &body, &n);
    if (body.len > 0) {
        smi_kept_replace(s->k, key_of(s, n++), sm_buf_str(&body), &s->notes[1]);
    }
    while (n < s->n_objects && /* what is in them is in one before, so it does no harm either */
           sm_store_delete(sm_snapshot_store(s->k->table), key_of(s, n), &unused) == SM_OK) {
        n++;
    }
    sm_buf_release(&body);
    sm_buf_release(&old);
}

/* ---- all ------------------------------------------------------------------------------------- */

static sm_str name_of(const smi_audit *u, const sm_expr *const *exprs, int32_t n, sm_arena *a)
{
    sm_buf text = {0};

    for (int32_t i = 0; i < n; i++) {
        smi_put_expr(&text, exprs[i], u->in->rows->schema);
    }
    const sm_str out = smi_kept_hash(sm_buf_str(&text), a);
    sm_buf_release(&text);
    return out;
}

static void keys_init(keys *s, smi_kept *k, smi_kept_files *f, const smi_audit *u)
{
    const int64_t n = smi_files_n(f);
    sm_budget *budget = u->in->env->budget;

    *s = (keys){.k = k,
                .f = f,
                .env = u->in->env,
                .a = k->a,
                .places = sm_map_new(k->a),
                .parts = SM_NEW_ARRAY(k->a, uint64_t, n + 1),
                .n_parts = SM_NEW_ARRAY(k->a, int64_t, n + 1),
                .looked = SM_NEW_ARRAY(k->a, uint64_t, n + 1),
                .may = SM_NEW_ARRAY(k->a, bool, n + 1),
                .now = -1,
                .repeats = {.budget = budget},
                .hits = {.budget = budget}};
    for (int64_t i = 0; i < n; i++) {
        const sm_str id = {(const char *)smi_files_id(f, i), ID_BYTES};
        *sm_map_at(s->places, id) = (void *)(intptr_t)(i + 1);
    }
}

static void keys_release(keys *s)
{
    sm_block_release(s->block);
    sm_buf_release(&s->made);
    sm_hash_set_release(&s->repeats);
    sm_hash_set_release(&s->hits);
    sm_budget_give(s->env->budget, s->taken_bytes);
}

static sm_status take_bytes(keys *s, size_t bytes, sm_error *e)
{
    SM_TRY(sm_budget_take(s->env->budget, bytes, e));
    s->taken_bytes += bytes;
    return SM_OK;
}

/* The files whose keys are not kept, and room for their hashes. It is over where no key is kept,
 * and none would be. */
static sm_status find_new(keys *s, sm_error *e)
{
    const int64_t n = smi_files_n(s->f);
    int64_t *at = SM_NEW_ARRAY(s->a, int64_t, n + 1), n_worth = 0;

    for (int64_t i = 0; i < n; i++) {
        n_worth += is_known(s, i) || is_worth(s, i);
        if (!is_known(s, i)) {
            at[s->n_new++] = i;
            s->n_cap += smi_files_rows_in(s->f, i);
        }
    }
    s->at = at;
    if (n_worth == 0 ||
        (size_t)s->n_cap > sm_budget_room(s->env->budget) / 2 / sizeof(sm_hash128)) {
        return sm_fail(e, SM_BUDGET, "the keys of new files are too many, or of few bytes");
    }
    SM_TRY(take_bytes(s, (size_t)s->n_cap * ROW_BYTES, e));
    SM_TRY(
        sm_block_new(s->env->budget, ((size_t)s->n_cap * 2 + 1) * sizeof(uint64_t), &s->block, e));
    s->hashes = (uint64_t *)s->block->data;
    s->tmp = s->hashes + s->n_cap;
    return SM_OK;
}

static sm_status find_files(keys *s, const sm_expr *const *exprs, int32_t n, sm_error *e)
{
    SM_TRY(take_bytes(s, OBJECTS * MOST_BYTES, e));
    SM_TRY(find_known(s, e));
    SM_TRY(find_new(s, e));
    SM_TRY(scan_new(s, exprs, n, e));
    SM_TRY(look_through_known(s, e));
    SM_TRY(look_through_blocks(s, sm_buf_str(&s->made), false, e));
    for (int64_t i = 0; i < s->n_new && s->repeats.n > 0; i++) {
        s->may[s->at[i]] = s->may[s->at[i]] || !is_worth(s, s->at[i]);
    }
    return SM_OK;
}

/* The rows of the files in which a key may come again. */
static sm_status narrow(keys *s, const sm_plan_node **rows, bool *is_none, sm_error *e)
{
    const int64_t n = smi_files_n(s->f);
    int64_t *at = SM_NEW_ARRAY(s->a, int64_t, n + 1), n_at = 0;

    for (int64_t i = 0; i < n; i++) {
        if (s->may[i]) {
            at[n_at++] = i;
        }
    }
    *is_none = n_at == 0;
    return n_at > 0 && n_at < n ? smi_files_rows(s->f, at, n_at, rows, e) : SM_OK;
}

sm_status smi_keys_narrow(smi_kept *k, smi_kept_files *f, const smi_audit *u,
                          const sm_expr *const *exprs, int32_t n, const sm_plan_node **rows,
                          bool *is_none, sm_str *notes, sm_error *e)
{
    keys s;

    *is_none = false;
    keys_init(&s, k, f, u);
    s.notes = notes;
    s.name = name_of(u, exprs, n, k->a);
    k->keys = sm_arena_grow(k->a, k->keys, k->n_keys, &k->cap_keys, sizeof(*k->keys));
    k->keys[k->n_keys++] = s.name;
    sm_status st = find_files(&s, exprs, n, e);
    if (st == SM_OK) {
        keep(&s);
        st = narrow(&s, rows, is_none, e);
    }
    keys_release(&s);
    return st == SM_BUDGET ? SM_OK : st;
}
