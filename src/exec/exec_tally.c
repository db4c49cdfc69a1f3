/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_tally.c: counts what a scan reads, in the order of its morsels: lines, unknown keys,
 * hashes of files' contents, and refused lines with their line numbers in the file.
 *
 * Calls    hash (also for a store's checksum), refused and close by the driver that has the morsel;
 *          bring_up, under the scan's lock, when a morsel is done: it accounts every morsel whose
 *          turn has come.
 * Why      A reader counts the lines of its morsel from 1. When the morsel's turn comes, all
 *          earlier morsels of the file are accounted, so the number of lines before it is known
 *          without reading the file from its start. */
#include "exec/exec_scan_int.h"

#define UNKNOWN_MAX 1000 /* paths in a report; in damaged input each line may have another one */

/* ---- hashing --------------------------------------------------------------------------------- */

static bool wants_content(const smi_scan *s, int64_t file)
{
    return s->dataset->files[file].content_out && s->is_first;
}

/* Adds bytes of a file that is not compressed, which are its content. */
static void add_content(smi_morsel *m, const uint8_t *bytes, size_t n)
{
    sm_content *c = &m->content;
    c->hash = sm_file_hash_add(c->hash, sm_file_hash_piece(bytes, n, m->hashed_to));
    c->bytes += (int64_t)n;
    if (m->hashed_to == 0) { /* a first piece is a chunk at least, or all */
        c->head = sm_hash64(bytes, n < SM_CONTENT_HEAD_BYTES ? n : SM_CONTENT_HEAD_BYTES);
    }
}

static void hash_piece(smi_scan *s, smi_morsel *m, const uint8_t *bytes, size_t n)
{
    if (wants_content(s, m->file) && s->files[m->file].is_plain) {
        add_content(m, bytes, n);
    }
    if (s->files[m->file].has_checksum) {
        const uint64_t n_after = sm_blob_bytes(s->files[m->file].blob) - m->hashed_to - n;
        m->crc32 ^= sm_crc32_part(sm_crc32(0, bytes, n), n_after);
    }
}

void smi_tally_hash(smi_scan *s, smi_morsel *m)
{
    const sm_byte_range own = m->plan->own;
    if (!m->has_begun) {
        m->hashed_to = own.off_bytes;
    }
    for (int32_t i = 0; i < m->n_ranges; i++) {
        const uint64_t first = m->ranges[i].off_bytes;
        const uint64_t end = first + m->lens[i];
        const uint64_t own_end = own.off_bytes + own.len;
        const uint64_t to = end < own_end ? end : own_end;
        if (first > m->hashed_to || to <= m->hashed_to) {
            continue;
        }
        hash_piece(s, m, m->blocks[i]->data + (m->hashed_to - first), (size_t)(to - m->hashed_to));
        m->hashed_to = to;
    }
}

/* ---- a morsel's own tally -------------------------------------------------------------------- */

void smi_tally_refused(smi_scan *s, smi_morsel *m, sm_batch *taken)
{
    if (s->gives_refused && taken->n_rows > 0) {
        smi_batches_add(&m->refused, taken);
    } else {
        sm_batch_release(taken);
    }
}

void smi_tally_close(smi_scan *s, smi_morsel *m)
{
    const sm_unknown_key *unknown = NULL;
    int64_t n = 0;
    s->dataset->format->counts(m->reader, &m->counts, &unknown, &n);
    n = n > UNKNOWN_MAX ? UNKNOWN_MAX : n;
    if (wants_content(s, m->file) && !s->files[m->file].is_plain && s->dataset->format->content) {
        m->content = s->dataset->format->content(m->reader);
    }
    m->n_unknown = n;
    m->unknown = SM_NEW_ARRAY(m->arena, sm_unknown_key, n + 1);
    for (int64_t i = 0; i < n; i++) {
        m->unknown[i] = (sm_unknown_key){.path = sm_arena_str(m->arena, unknown[i].path),
                                         .lines = unknown[i].lines,
                                         .kinds = unknown[i].kinds};
    }
    m->n_keys = 0;
    const sm_known_key *keys =
        s->dataset->format->keys ? s->dataset->format->keys(m->reader, &m->n_keys) : NULL;
    m->keys = SM_NEW_ARRAY(m->arena, sm_known_key, m->n_keys + 1);
    for (int64_t i = 0; i < m->n_keys; i++) {
        m->keys[i] = keys[i];
        m->keys[i].path = sm_arena_str(m->arena, keys[i].path);
        m->keys[i].type = sm_arena_str(m->arena, keys[i].type);
    }
}

/* ---- accounting in turn ---------------------------------------------------------------------- */

static void add_counts(sm_scan_counts *a, const sm_scan_counts *b)
{
    a->rows += b->rows;
    a->lines += b->lines;
    a->refused += b->refused;
    a->blank += b->blank;
    a->shape_lines += b->shape_lines;
    a->unknown_lines += b->unknown_lines;
    a->no_objects += b->no_objects;
}

static void add_unknown(smi_scan *s, const smi_morsel *m)
{
    smi_execution *exec = s->exec;
    sm_exec_report *r = exec->report;
    for (int64_t i = 0; i < m->n_unknown; i++) {
        const bool is_known = sm_map_get(exec->unknown, m->unknown[i].path) != NULL;
        if (!is_known && r->n_unknown == UNKNOWN_MAX) {
            continue;
        }
        void **place = sm_map_at(exec->unknown, m->unknown[i].path);
        if (!is_known) {
            r->unknown = sm_arena_grow(r->arena, r->unknown, r->n_unknown, &exec->unknown_cap,
                                       sizeof(*r->unknown));
            r->unknown[r->n_unknown] =
                (sm_unknown_key){.path = sm_arena_str(r->arena, m->unknown[i].path)};
            *place = (void *)(intptr_t)(++r->n_unknown);
        }
        r->unknown[(intptr_t)*place - 1].lines += m->unknown[i].lines;
        r->unknown[(intptr_t)*place - 1].kinds |= m->unknown[i].kinds;
    }
}

/* Of two scans whose columns have one path the first one's type is told. */
static void add_keys(smi_scan *s, const smi_morsel *m)
{
    smi_execution *exec = s->exec;
    sm_exec_report *r = exec->report;
    for (int64_t i = 0; i < m->n_keys; i++) {
        const sm_known_key *from = &m->keys[i];
        void **place = sm_map_at(exec->keys, from->path);
        if (!*place) {
            r->keys =
                sm_arena_grow(r->arena, r->keys, r->n_keys, &exec->keys_cap, sizeof(*r->keys));
            r->keys[r->n_keys] = (sm_known_key){.path = sm_arena_str(r->arena, from->path),
                                                .type = sm_arena_str(r->arena, from->type)};
            *place = (void *)(intptr_t)(++r->n_keys);
        }
        sm_known_key *to = &r->keys[(intptr_t)*place - 1];
        to->lines += from->lines;
        to->misfits += from->misfits;
        to->misfit_kinds |= from->misfit_kinds;
    }
}

/* Makes refused lines as a sink gets them: with the file, and with line numbers in it. Takes rows.
 * */
static sm_status shape_refused(smi_scan *s, const smi_morsel *m, sm_batch *rows, sm_batch **out,
                               sm_error *e)
{
    const sm_value uri = sm_value_str(s->dataset->files[m->file].uri);
    const int64_t base = s->files[m->file].counts.lines;
    sm_batch *b = NULL;
    int64_t *lines = NULL;
    sm_status st = sm_batch_new(s->budget, &sm_refused_out_schema, &b, e);
    if (st != SM_OK) {
        goto done;
    }
    sm_batch_keep_all(b, rows);
    SM_TRY_GOTO(st, done,
                sm_column_constant(uri, rows->n_rows, b, &b->columns[SM_REFUSED_OUT_FILE], e));
    SM_TRY_GOTO(st, done, sm_batch_alloc(b, (size_t)rows->n_rows * 8, (void **)&lines, e));
    for (int64_t i = 0; i < rows->n_rows; i++) {
        lines[i] = base + sm_column_value(&rows->columns[SM_REFUSED_LINE], i).as.i;
    }
    for (int c = 0; c < SM_REFUSED_COLUMNS; c++) {
        b->columns[SM_REFUSED_OUT_FIRST + c] = rows->columns[c];
    }
    b->columns[SM_REFUSED_OUT_FIRST + SM_REFUSED_LINE] =
        (sm_column){.type = &sm_type_i64, .n_rows = rows->n_rows, .values = lines};
    b->n_rows = rows->n_rows;
    b->ordinal = m->task.ordinal;
done:
    sm_batch_release(rows);
    if (st != SM_OK) {
        sm_batch_release(b);
        return st;
    }
    *out = b;
    return SM_OK;
}

static void add_progress(smi_scan *s, smi_scan_file *f, int64_t bytes)
{
    f->bytes += bytes;
    if (s->exec->env->progress) {
        atomic_fetch_add_explicit(&s->exec->env->progress->done_bytes, bytes, memory_order_relaxed);
    }
}

void smi_tally_file_done(smi_scan *s, int64_t file)
{
    smi_scan_file *f = &s->files[file];
    const sm_datafile *df = &s->dataset->files[file];
    if (wants_content(s, file)) {
        *df->content_out = f->content;
        df->content_out->has_lines = f->counts.lines > f->counts.blank;
        if (f->content.bytes == 0) {
            df->content_out->head = sm_hash64("", 0);
        }
    }
    add_progress(s, f, (int64_t)df->size_bytes - f->bytes); /* what needed no reading */
    smi_scan_close_file(s, f);
}

/* A text file was read to its end: has it the checksum that its store gave? Bytes after the end of
 * a compressed file may not have been read; then nothing is compared. */
static sm_status check_whole(const smi_scan *s, int64_t file, sm_error *e)
{
    const smi_scan_file *f = &s->files[file];
    if (!f->has_checksum || f->n_hashed != sm_blob_bytes(f->blob) || f->crc32 == f->checksum) {
        return SM_OK;
    }
    sm_fail(e, SM_CORRUPT, "the file was changed on its way from the store: its checksum differs");
    sm_error_place(e, s->dataset->files[file].uri.data, 0, -1);
    sm_error_todo(e,
                  "Run it again; with an endpoint of https:// a changed byte is noticed at once.");
    return SM_CORRUPT;
}

/* A file that was read to its end, and of which nine lines in ten are refused, is of another
 * format: the rest are lines of the format by chance. It is refused as a whole, whatever the policy
 * for broken lines. With fewer lines than these nothing can be said. */
#define FOREIGN_MIN_LINES 100
#define FOREIGN_PERCENT   90

static sm_status check_layout(const smi_scan *s, int64_t file, sm_error *e)
{
    const sm_scan_counts *c = &s->files[file].counts;
    const int64_t n_lines = c->lines - c->blank;
    if (s->dataset->files[file].is_lines || n_lines < FOREIGN_MIN_LINES ||
        c->no_objects * 100 <= n_lines * FOREIGN_PERCENT) {
        return SM_OK;
    }
    sm_fail(e, SM_UNSUPPORTED, "%lld of %lld lines are no JSON objects: over %d%%",
            (long long)c->no_objects, (long long)n_lines, FOREIGN_PERCENT);
    sm_error_place(e, s->dataset->files[file].uri.data, 0, -1);
    sm_error_todo(e, "Write the file with one JSON object on each line, or leave it out.");
    return SM_UNSUPPORTED;
}

/* The next morsel may give rows away as soon as this one is accounted. */
static void say_lines_before(smi_scan *s, const smi_morsel *m, const smi_scan_file *f)
{
    if (s->dataset->has_origin) {
        smi_origin_set(&s->exec->origin, m->task.ordinal + 1, f->n_left > 1 ? f->counts.lines : 0);
    }
}

static sm_status account_morsel(smi_scan *s, smi_morsel *m, sm_error *e)
{
    smi_scan_file *f = &s->files[m->file];
    for (int64_t i = 0; i < m->refused.n; i++) {
        sm_batch *rows = m->refused.items[i];
        sm_batch *out = NULL;
        m->refused.items[i] = NULL;
        SM_TRY(shape_refused(s, m, rows, &out, e));
        smi_outlet_put(&s->refused, out);
    }
    smi_batches_release(&m->refused);
    add_counts(&f->counts, &m->counts);
    say_lines_before(s, m, f);
    if (s->is_first) {
        add_unknown(s, m);
        add_keys(s, m);
    }
    f->content.hash = sm_file_hash_add(f->content.hash, m->content.hash);
    f->content.bytes += m->content.bytes;
    f->content.head = m->plan->in_file == 0 ? m->content.head : f->content.head;
    f->crc32 ^= m->crc32;
    f->n_hashed += m->hashed_to - m->plan->own.off_bytes;
    int64_t bytes = m->plan->own.len > 0 ? (int64_t)m->plan->own.len : m->bytes;
    const int64_t left = (int64_t)s->dataset->files[m->file].size_bytes - f->bytes;
    bytes = bytes > left ? left : bytes;
    add_progress(s, f, bytes);
    SM_ASSERT(f->n_left > 0 && f->state == FILE_OPEN);
    if (--f->n_left == 0) {
        SM_TRY(check_whole(s, m->file, e));
        SM_TRY(check_layout(s, m->file, e));
        smi_tally_file_done(s, m->file);
    }
    sm_node_profile *p = smi_profile(s->exec, 0, s->node); /* all under the scan's lock */
    p->morsels++;
    p->bytes_read += m->bytes;
    return SM_OK;
}

sm_status smi_tally_bring_up(smi_scan *s, sm_error *e)
{
    for (;;) {
        smi_morsel *m = &s->ring[s->accounted % SMI_AHEAD_MAX];
        if (s->accounted == s->admitted || m->state != MORSEL_DONE) {
            return SM_OK;
        }
        SM_TRY(account_morsel(s, m, e));
        smi_morsel_move(m, MORSEL_FREE);
        s->accounted++;
    }
}

/* ---- first and last -------------------------------------------------------------------------- */

void smi_tally_begin(smi_scan *s)
{
    smi_execution *exec = s->exec;
    s->is_first = true;
    for (int64_t i = 0; i < exec->n_seen; i++) {
        s->is_first = s->is_first && exec->seen[i] != s->dataset;
    }
    if (s->is_first) {
        exec->seen = sm_arena_grow(exec->arena, exec->seen, exec->n_seen, &exec->seen_cap,
                                   sizeof(*exec->seen));
        exec->seen[exec->n_seen++] = s->dataset;
    }
    s->gives_refused = exec->refused && s->is_first && s->node->as.scan.want.keep_refused;
    if (s->gives_refused) {
        smi_outlet_init(&s->refused, exec->refused);
    }
}

/* Makes room in the report for n_more files: at first for exactly so many, since there may be
 * 100,000. */
static void reserve_files(smi_execution *exec, int64_t n_more)
{
    sm_exec_report *r = exec->report;
    if (r->n_files + n_more <= exec->files_cap) {
        return;
    }
    const int64_t doubled = 2 * exec->files_cap;
    exec->files_cap = r->n_files + n_more > doubled ? r->n_files + n_more : doubled;
    sm_file_report *files = SM_NEW_ARRAY(r->arena, sm_file_report, exec->files_cap);
    if (r->n_files > 0) {
        memcpy(files, r->files, (size_t)r->n_files * sizeof(*files));
    }
    r->files = files;
}

void smi_tally_end(smi_scan *s)
{
    sm_exec_report *r = s->exec->report;
    sm_scan_counts all = {0};
    for (int64_t i = 0; i < s->dataset->n_files; i++) {
        add_counts(&all, &s->files[i].counts);
    }
    SM_ASSERT(s->accounted <= s->admitted);
    r->is_partial = r->is_partial || atomic_load(&s->n_total) != s->accounted;
    if (s->is_first && s->dataset->format->is_text) {
        add_counts(&r->counts, &all);
        reserve_files(s->exec, s->dataset->n_files);
        for (int64_t i = 0; i < s->dataset->n_files; i++) {
            r->files[r->n_files++] =
                (sm_file_report){.uri = sm_arena_str(r->arena, s->dataset->files[i].uri),
                                 .counts = s->files[i].counts,
                                 .is_pruned = s->files[i].state == FILE_PRUNED};
        }
    }
    if (s->is_first && !s->dataset->format->is_text) {
        r->counts.unknown_lines += all.unknown_lines;
    }
    if (s->gives_refused) {
        smi_outlet_release(&s->refused);
    }
}
