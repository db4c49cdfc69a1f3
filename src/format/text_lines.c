/* SPDX-License-Identifier: Apache-2.0
 *
 * format/text_lines.c: splits text files into lines. A plain file is cut into morsels, so that
 * several workers can read it at the same time.
 *
 * Calls      smi_text_plan once for each file. Then, for each morsel: smi_lines_begin, and
 *            smi_lines_next until it returns SM_END. After SM_MORE the caller fetches the range it
 *            was given and passes its bytes to smi_lines_feed.
 * Morsels    A morsel is a range [start, end) of bytes. A line belongs to the morsel in which its
 *            first byte stands. The first range that is fetched begins one byte before start: if
 *            that byte is an LF, a line starts at start. It ends 4,096 bytes after end, so that
 *            most lines that cross the end need no second read.
 * Lines      A line ends at an LF or at the end of the file; an LF at the very end starts no
 *            further line. A byte-order mark at offset 0 is skipped. A file that begins with the
 *            magic bytes of a binary format is refused. Blank lines (space, tab and CR only) are
 *            counted and not returned, however long they are. Of a line longer than 16,777,216
 *            bytes the first 65,536 are returned and the rest is only counted.
 * Buffer     Lines are returned as pointers into the block that was fed, without a copy. A line
 *            that begins in one block and ends in the next is copied: a new block takes the
 *            unread bytes of the first and all of the second. Each further range for the same line
 *            is larger, from 64 KiB to 4 MiB. Where the last line of the file has no LF, it is
 *            copied once into a block that has one: scanners rely on an LF at the end of a line.
 * Compressed The whole file is one morsel. It is read in ranges of 1 MiB and decoded into blocks of
 *            about 1 MiB, so the decompressed file is never in memory as a whole. Offsets of lines
 *            count decompressed bytes.
 * States     BOM or SEEK -> OPEN <-> LONG, and DONE from any but LONG (enum smi_lines_state). */
#include "format/text_int.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/text.h"

#define MORE_FIRST_BYTES ((size_t)64 << 10)
/* Ranges stop growing here: a line of 16 MiB then costs four more reads, not 16 MiB more memory. */
#define MORE_MOST_BYTES ((size_t)4 << 20)
/* Bytes decoded in one step. */
#define DECODE_BYTES ((size_t)1 << 20)

_Static_assert(SMI_CODEC_RANGE_BYTES % SM_FILE_HASH_CHUNK == 0,
               "compressed ranges must be whole chunks of the file's hash");
_Static_assert(MORE_FIRST_BYTES <= MORE_MOST_BYTES, "ranges grow");
_Static_assert(SMI_LINE_HEAD_BYTES < SMI_LINE_MAX_BYTES, "a head is cut from bytes at hand");

/* ---- planning -------------------------------------------------------------------------------- */

sm_status smi_text_plan(const smi_text_file *f, int64_t file, sm_arena *a, sm_morsel **out,
                        int64_t *n, sm_error *e)
{
    const uint64_t size = f->size_bytes;
    const uint64_t step = f->codec == SMI_CODEC_NONE ? f->morsel_bytes : SMI_CODEC_RANGE_BYTES;
    SM_ASSERT(step > 0);
    const uint64_t n_morsels = f->codec != SMI_CODEC_NONE || size == 0 ? 1 : (size - 1) / step + 1;
    if (size > INT64_MAX || n_morsels > INT32_MAX) {
        return sm_fail(e, SM_LIMIT, "%.*s: a file of %" PRIu64 " bytes is too large",
                       SM_STR_ARG(f->uri), size);
    }
    sm_morsel *morsels = SM_NEW_ARRAY(a, sm_morsel, n_morsels);
    sm_byte_range *ranges = SM_NEW_ARRAY(a, sm_byte_range, n_morsels);
    for (uint64_t i = 0; i < n_morsels; i++) {
        const uint64_t start = i * step;
        const uint64_t end = size - start < step ? size : start + step;
        const bool is_plain = f->codec == SMI_CODEC_NONE;
        const uint64_t from = start > 0 ? start - 1 : 0;
        const uint64_t beyond = is_plain ? SMI_LINE_BEYOND_BYTES : 0;
        const uint64_t to = size - end < beyond ? size : end + beyond;
        ranges[i] = (sm_byte_range){.off_bytes = from, .len = (size_t)(to - from)};
        morsels[i] = (sm_morsel){
            .file = file,
            .in_file = (int64_t)i,
            .is_last = i + 1 == n_morsels,
            .ranges = &ranges[i],
            .n_ranges = size > 0,
            .own = {.off_bytes = start, .len = (size_t)((is_plain ? end : size) - start)},
        };
    }
    SM_ASSERT(morsels[n_morsels - 1].own.off_bytes + morsels[n_morsels - 1].own.len == size);
    *out = morsels;
    *n = (int64_t)n_morsels;
    return SM_OK;
}

/* ---- the buffer ------------------------------------------------------------------------------ */

void smi_lines_init(smi_lines *l, sm_budget *budget)
{
    *l = (smi_lines){.budget = budget};
}

static void drop_blocks(smi_lines *l)
{
    sm_block_release(l->buffer);
    sm_block_release(l->input);
    sm_block_release(l->head);
    l->buffer = l->input = l->head = NULL;
}

void smi_lines_release(smi_lines *l)
{
    drop_blocks(l);
    smi_codec_free(l->codec);
    sm_content_sum_free(l->content);
    *l = (smi_lines){0};
}

/* Makes `block` the buffer; takes the reference. Its first n_left bytes are the unread rest of the
 * old buffer, so they hold no LF that was not looked for already. */
static void set_buffer(smi_lines *l, sm_block *block, size_t len, size_t n_left)
{
    SM_ASSERT(len <= block->size_bytes && n_left == l->len - l->pos && n_left <= len);
    SM_ASSERT(!memchr(block->data, '\n', n_left) || l->state == SMI_LINES_BOM);
    l->base_off += l->pos;
    sm_block_release(l->buffer);
    l->buffer = block;
    l->data = block->data;
    l->len = len;
    l->pos = 0;
    l->scanned = n_left;
    l->has_lf_end = false;
}

/* Makes a block that begins with the unread rest of the buffer and has room for `more` bytes. */
static sm_status block_with_rest(smi_lines *l, size_t more, sm_block **out, sm_error *e)
{
    const size_t n_left = l->len - l->pos;
    SM_ASSERT(l->pos <= l->len && more > 0);
    SM_ASSERT(l->scanned == l->len || l->state == SMI_LINES_BOM); /* no line is left in it */
    SM_TRY(sm_block_new(l->budget, n_left + more, out, e));
    if (n_left > 0) {
        memcpy((*out)->data, l->data + l->pos, n_left);
    }
    return SM_OK;
}

/* Adds the bytes of `block`, which follow the buffer's in the file. Borrows the block. */
static sm_status append_to_buffer(smi_lines *l, sm_block *block, size_t len, sm_error *e)
{
    const size_t n_left = l->len - l->pos;
    if (n_left == 0) {
        set_buffer(l, sm_block_retain(block), len, 0);
        return SM_OK;
    }
    sm_block *joined = NULL;
    SM_TRY(block_with_rest(l, len, &joined, e));
    memcpy(joined->data + n_left, block->data, len);
    set_buffer(l, joined, n_left + len, n_left);
    return SM_OK;
}

/* ---- beginning ------------------------------------------------------------------------------- */

/* Keeps the last file's codec where it is of the same kind: making one costs an allocation. */
static sm_status begin_codec(smi_lines *l, sm_error *e)
{
    SM_ASSERT(!l->codec || l->codec_kind != SMI_CODEC_NONE);
    if (l->codec && l->codec_kind == l->file->codec) {
        smi_codec_reset(l->codec);
        return SM_OK;
    }
    smi_codec_free(l->codec);
    l->codec = NULL;
    l->codec_kind = l->file->codec;
    return smi_codec_new(l->codec_kind, l->budget, &l->codec, e);
}

sm_status smi_lines_begin(smi_lines *l, const smi_text_file *f, const sm_morsel *m,
                          sm_block *const *blocks, const size_t *lens, sm_error *e)
{
    smi_codec *codec = l->codec;
    const smi_codec_kind kind = l->codec_kind;
    sm_content_sum *content = l->content;
    const bool is_plain = f->codec == SMI_CODEC_NONE;
    SM_ASSERT(m->n_ranges == 0 || (m->n_ranges == 1 && lens[0] >= m->ranges[0].len));
    SM_ASSERT(is_plain || m->own.off_bytes == 0); /* a compressed file is one morsel */
    SM_ASSERT(m->own.off_bytes == 0 || m->ranges[0].off_bytes == m->own.off_bytes - 1);
    drop_blocks(l);
    *l = (smi_lines){
        .budget = l->budget,
        .file = f,
        .codec = codec,
        .codec_kind = kind,
        .content = content,
        .state = m->own.off_bytes == 0 ? SMI_LINES_BOM : SMI_LINES_SEEK,
        .end_off = is_plain ? m->own.off_bytes + m->own.len : UINT64_MAX,
        .is_first = m->own.off_bytes == 0,
        .more_bytes = MORE_FIRST_BYTES,
    };
    if (!is_plain && f->wants_content) {
        l->content = content ? content : sm_content_sum_new();
        sm_content_sum_reset(l->content);
    }
    if (m->n_ranges == 0) {
        l->state = SMI_LINES_DONE;
        return SM_OK;
    }
    if (!is_plain) {
        SM_TRY(begin_codec(l, e));
        l->input_off = m->ranges[0].off_bytes;
        l->is_input_empty = true;
        return smi_lines_feed(l, blocks[0], lens[0], e);
    }
    l->base_off = m->ranges[0].off_bytes;
    set_buffer(l, sm_block_retain(blocks[0]), lens[0], 0);
    l->is_all = l->base_off + l->len >= f->size_bytes;
    return SM_OK;
}

sm_status smi_lines_feed(smi_lines *l, sm_block *block, size_t len, sm_error *e)
{
    SM_ASSERT(len > 0 && len <= block->size_bytes);
    SM_ASSERT(l->state != SMI_LINES_DONE && !l->is_all);
    if (l->file->codec == SMI_CODEC_NONE) {
        SM_TRY(append_to_buffer(l, block, len, e));
        l->is_all = l->base_off + l->len >= l->file->size_bytes;
        return SM_OK;
    }
    SM_ASSERT(l->is_input_empty && l->input_pos == l->input_len);
    SM_ASSERT(l->input_off + l->input_len + len <= l->file->size_bytes);
    l->input_off += l->input_len;
    sm_block_release(l->input);
    l->input = sm_block_retain(block);
    l->input_len = len;
    l->input_pos = 0;
    l->is_input_empty = false;
    return SM_OK;
}

sm_content smi_lines_content(const smi_lines *l)
{
    SM_ASSERT(l->state == SMI_LINES_DONE && (l->is_all || l->file->size_bytes == 0));
    SM_ASSERT(l->file->wants_content && l->file->codec != SMI_CODEC_NONE);
    return sm_content_sum_get(l->content);
}

/* ---- more bytes ------------------------------------------------------------------------------ */

static sm_status codec_failed(smi_lines *l, sm_status st, sm_error *e)
{
    if (st == SM_CORRUPT) {
        sm_error_place_str(e, l->file->uri, 0, (int64_t)(l->input_off + l->input_pos));
        sm_error_todo(e, "Copy the file again from where it is whole, or move it elsewhere. A file "
                         "that is still being written is whole later.");
    }
    return st;
}

/* Is all decoded that the file has? */
static bool is_all_decoded(const smi_lines *l)
{
    return l->is_input_empty && l->input_off + l->input_len >= l->file->size_bytes &&
           smi_codec_is_between(l->codec);
}

/* The input is used up: asks for the range after it, or sees that the file ends here. */
static sm_status end_of_input(smi_lines *l, sm_byte_range *more, sm_error *e)
{
    const uint64_t at = l->input_off + l->input_len;
    if (at < l->file->size_bytes) {
        const uint64_t left = l->file->size_bytes - at;
        const size_t len = left < SMI_CODEC_RANGE_BYTES ? (size_t)left : SMI_CODEC_RANGE_BYTES;
        *more = (sm_byte_range){.off_bytes = at, .len = len};
        return SM_MORE;
    }
    if (!is_all_decoded(l)) {
        return codec_failed(l, sm_fail(e, SM_CORRUPT, "the compressed data ends too early"), e);
    }
    l->is_all = true;
    return SM_OK;
}

/* Decodes as many bytes as the current line has so far, and at least DECODE_BYTES: a long line then
 * is copied a few times only. */
static sm_status decode_more(smi_lines *l, sm_byte_range *more, sm_error *e)
{
    const size_t n_left = l->len - l->pos;
    const size_t room = n_left > DECODE_BYTES ? n_left : DECODE_BYTES;
    sm_block *block = NULL;
    if (l->is_input_empty) {
        return end_of_input(l, more, e);
    }
    SM_TRY(block_with_rest(l, room, &block, e));
    smi_codec_step step = {
        .in = l->input->data,
        .in_len = l->input_len,
        .in_pos = l->input_pos,
        .out = block->data + n_left,
        .out_len = room,
    };
    const sm_status st = smi_codec_decode(l->codec, &step, e);
    SM_ASSERT(step.in_pos >= l->input_pos && step.out_pos <= room);
    l->input_pos = step.in_pos;
    l->is_input_empty = step.out_pos < step.out_len; /* else there may be more within the codec */
    if (st != SM_OK) {
        sm_block_release(block);
        return codec_failed(l, st, e);
    }
    if (l->file->wants_content) {
        sm_content_sum_add(l->content, block->data + n_left, step.out_pos);
    }
    set_buffer(l, block, n_left + step.out_pos, n_left);
    l->is_all = is_all_decoded(l);
    return SM_OK;
}

/* SM_OK: the buffer has more bytes, or is_all says that there are none. SM_MORE: feed `more`. */
static sm_status refill(smi_lines *l, sm_byte_range *more, sm_error *e)
{
    if (l->file->codec != SMI_CODEC_NONE) {
        return decode_more(l, more, e);
    }
    const uint64_t at = l->base_off + l->len;
    SM_ASSERT(at < l->file->size_bytes && !l->is_all);
    const uint64_t left = l->file->size_bytes - at;
    *more = (sm_byte_range){
        .off_bytes = at,
        .len = left < l->more_bytes ? (size_t)left : l->more_bytes,
    };
    l->more_bytes = l->more_bytes * 2 < MORE_MOST_BYTES ? l->more_bytes * 2 : MORE_MOST_BYTES;
    return SM_MORE;
}

/* ---- lines ----------------------------------------------------------------------------------- */

static bool is_blank(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] != ' ' && p[i] != '\t' && p[i] != '\r') {
            return false;
        }
    }
    return true;
}

/* Binary formats that a file may have by mistake, by their first bytes. No line of
 * UTF-8 text begins with any of them. */
static const struct magic {
    const char *bytes, *name, *todo;
    size_t n;
} magics[] = {
    {"\x1f\x8b", "gzip", "Give its name the suffix .gz, or unpack it.", 2},
    {"\x28\xb5\x2f\xfd", "zstd", "Give its name the suffix .zst, or unpack it.", 4},
    {"BZh91AY&SY", "bzip2", "Unpack it first.", 10},
    {"\xfd\x37zXZ\0", "xz", "Unpack it first.", 6},
    {"\x04\x22\x4d\x18", "lz4", "Unpack it first.", 4},
    {"PK\3\4", "zip", "Unpack it first.", 4},
    {"PAR1\x15", "Parquet", "Read it with read_parquet.", 5},
    {"Obj\1", "Avro", "Write it as JSON, one object a line.", 4},
};
#define MAGIC_BYTES 10

static sm_status refuse_file(const smi_lines *l, const char *what, sm_error *e)
{
    const sm_status st = sm_fail(e, SM_UNSUPPORTED, "the file is %s%s, not lines of UTF-8", what,
                                 l->file->codec == SMI_CODEC_NONE ? "" : " within its compression");
    sm_error_place_str(e, l->file->uri, 0, -1);
    return st;
}

/* Refuses a file that begins with magic bytes, or is text of another encoding. The buffer has its
 * first MAGIC_BYTES, or all of it where it is shorter. */
static sm_status check_is_text(const smi_lines *l, sm_error *e)
{
    const bool is_within = l->file->codec != SMI_CODEC_NONE;
    const char *other = sm_utf_other(l->data, l->len);

    SM_ASSERT(l->base_off == 0 && l->pos == 0 && (l->len >= MAGIC_BYTES || l->is_all));
    for (int i = 0; i < SM_COUNT(magics); i++) {
        const struct magic *m = &magics[i];
        SM_ASSERT(m->n > 0 && m->n <= MAGIC_BYTES);
        if (l->len >= m->n && memcmp(l->data, m->bytes, m->n) == 0) {
            const sm_status st = refuse_file(l, m->name, e);
            sm_error_todo(e, "%s", is_within ? "Unpack it first." : m->todo);
            return st;
        }
    }
    if (other) {
        const sm_status st = refuse_file(l, other, e);
        sm_error_todo(e, "%s it as UTF-8, as by iconv -f %s -t UTF-8.",
                      is_within ? "Unpack it first, and write" : "Write", other);
        return st;
    }
    return SM_OK;
}

/* Skips a byte-order mark. *is_open stays false where more bytes are needed to tell. */
static sm_status pass_bom(smi_lines *l, bool *is_open, sm_error *e)
{
    static const uint8_t bom[3] = {0xef, 0xbb, 0xbf};
    if (l->len < MAGIC_BYTES && !l->is_all) {
        return SM_OK;
    }
    SM_TRY(check_is_text(l, e));
    const bool has_bom = l->len >= sizeof(bom) && memcmp(l->data, bom, sizeof(bom)) == 0;
    l->pos = l->scanned = has_bom ? sizeof(bom) : 0;
    l->state = SMI_LINES_OPEN;
    *is_open = true;
    return SM_OK;
}

/* Moves to the first line that starts in the morsel. An LF behind the bytes at hand is behind the
 * morsel's end too: a line that starts there is the next morsel's. */
static void seek_first_line(smi_lines *l)
{
    SM_ASSERT(l->pos == 0 && !l->is_first);
    SM_ASSERT(l->base_off + l->len >= l->end_off);
    const uint8_t *lf = memchr(l->data, '\n', l->len);
    l->pos = l->scanned = lf ? (size_t)(lf - l->data) + 1 : l->len;
    l->state = lf ? SMI_LINES_OPEN : SMI_LINES_DONE;
}

/* Counts the line [pos, end) and fills *out. false where the line is blank. */
static bool give_line(smi_lines *l, size_t end, smi_line *out)
{
    SM_ASSERT(end >= l->pos && end < l->len && l->data[end] == '\n');
    SM_ASSERT(l->is_first || l->base_off + l->pos < l->end_off);
    const uint8_t *p = l->data + l->pos;
    const size_t len = end - l->pos;
    l->n_lines++;
    l->is_first = false;
    l->more_bytes = MORE_FIRST_BYTES;
    if (is_blank(p, len)) {
        l->n_blank++;
        return false;
    }
    const bool is_too_long = len > SMI_LINE_MAX_BYTES;
    *out = (smi_line){
        .data = p,
        .len = is_too_long ? SMI_LINE_HEAD_BYTES : len,
        .full_bytes = len,
        .off_bytes = l->base_off + l->pos,
        .number = l->n_lines,
        .block = l->buffer,
        .is_too_long = is_too_long,
    };
    return true;
}

/* The file ends without an LF: copies its last line into a block that has one. */
static sm_status end_last_line(smi_lines *l, sm_error *e)
{
    SM_ASSERT(l->is_all && l->pos < l->len);
    const size_t n_left = l->len - l->pos;
    sm_block *block = NULL;
    SM_TRY(block_with_rest(l, 1, &block, e));
    block->data[n_left] = '\n';
    set_buffer(l, block, n_left + 1, n_left);
    return SM_OK;
}

/* The line at pos is over the limit already, and its end is not at hand: keeps its head and begins
 * to skip the rest. */
static sm_status begin_long_line(smi_lines *l, sm_error *e)
{
    SM_ASSERT(l->state == SMI_LINES_OPEN && l->len - l->pos > SMI_LINE_MAX_BYTES);
    sm_block_release(l->head);
    l->head = NULL;
    SM_TRY(sm_block_new(l->budget, SMI_LINE_HEAD_BYTES + 1, &l->head, e));
    memcpy(l->head->data, l->data + l->pos, SMI_LINE_HEAD_BYTES);
    l->head->data[SMI_LINE_HEAD_BYTES] = '\n';
    l->long_off = l->base_off + l->pos;
    l->long_bytes = 0;
    l->is_long_blank = true;
    l->scanned = l->pos;
    l->state = SMI_LINES_LONG;
    return SM_OK;
}

/* Skips the long line's bytes that are in the buffer, and counts them. true: its end is among them.
 */
static bool skip_long_line(smi_lines *l)
{
    const uint8_t *p = l->data + l->pos;
    const uint8_t *lf = l->len > l->pos ? memchr(p, '\n', l->len - l->pos) : NULL;
    const size_t n = lf ? (size_t)(lf - p) : l->len - l->pos;
    l->long_bytes += n;
    l->is_long_blank = l->is_long_blank && is_blank(p, n);
    l->pos += n + (lf != NULL);
    l->scanned = l->pos;
    return lf != NULL;
}

/* The long line has ended: counts it and fills *out with its head. false where it is blank. */
static bool give_long_line(smi_lines *l, smi_line *out)
{
    SM_ASSERT(l->state == SMI_LINES_LONG && l->head && l->long_bytes > SMI_LINE_MAX_BYTES);
    l->state = SMI_LINES_OPEN;
    l->is_first = false;
    l->more_bytes = MORE_FIRST_BYTES;
    l->n_lines++;
    if (l->is_long_blank) {
        l->n_blank++;
        return false;
    }
    *out = (smi_line){
        .data = l->head->data,
        .len = SMI_LINE_HEAD_BYTES,
        .full_bytes = l->long_bytes,
        .off_bytes = l->long_off,
        .number = l->n_lines,
        .block = l->head,
        .is_too_long = true,
    };
    return true;
}

/* One step in the state SMI_LINES_OPEN. SM_OK with *is_given: *out is a line; without: go on with
 * the state that l has now. */
static sm_status next_open(smi_lines *l, smi_line *out, bool *is_given, sm_byte_range *more,
                           sm_error *e)
{
    if (!l->is_first && l->base_off + l->pos >= l->end_off) {
        l->state = SMI_LINES_DONE;
        return SM_OK;
    }
    const uint8_t *lf =
        l->len > l->scanned ? memchr(l->data + l->scanned, '\n', l->len - l->scanned) : NULL;
    if (lf) {
        const size_t end = (size_t)(lf - l->data);
        *is_given = give_line(l, end, out);
        l->pos = l->scanned = end + 1;
        return SM_OK;
    }
    l->scanned = l->len;
    if (l->is_all && l->len == l->pos) {
        l->state = SMI_LINES_DONE;
        return SM_OK;
    }
    if (l->len - l->pos > SMI_LINE_MAX_BYTES) {
        return begin_long_line(l, e);
    }
    return l->is_all ? end_last_line(l, e) : refill(l, more, e);
}

/* One step in the state SMI_LINES_LONG, as above. */
static sm_status next_long(smi_lines *l, smi_line *out, bool *is_given, sm_byte_range *more,
                           sm_error *e)
{
    const bool is_ended = skip_long_line(l);
    if (is_ended || l->is_all) {
        *is_given = give_long_line(l, out);
        return SM_OK;
    }
    return refill(l, more, e);
}

/* Positions are in order, and each state has what it needs. */
static void check_lines(const smi_lines *l)
{
    SM_ASSERT(l->pos <= l->scanned && l->scanned <= l->len);
    SM_ASSERT(l->len == 0 || (l->buffer && l->data == l->buffer->data));
    SM_ASSERT(l->input_pos <= l->input_len && l->n_blank <= l->n_lines);
    SM_ASSERT(l->state != SMI_LINES_LONG || (l->head && l->scanned == l->pos));
    SM_ASSERT(l->state == SMI_LINES_DONE || l->more_bytes >= MORE_FIRST_BYTES);
    SM_ASSERT(l->state == SMI_LINES_DONE || l->more_bytes <= MORE_MOST_BYTES);
}

sm_status smi_lines_next(smi_lines *l, smi_line *out, sm_byte_range *more, sm_error *e)
{
    bool is_given = false, is_open = false;
    while (!is_given) {
        check_lines(l);
        switch (l->state) {
        case SMI_LINES_DONE:
            return SM_END;
        case SMI_LINES_BOM:
            SM_TRY(pass_bom(l, &is_open, e));
            if (!is_open) {
                SM_TRY(refill(l, more, e));
            }
            break;
        case SMI_LINES_SEEK:
            seek_first_line(l);
            break;
        case SMI_LINES_OPEN:
            SM_TRY(next_open(l, out, &is_given, more, e));
            break;
        case SMI_LINES_LONG:
            SM_TRY(next_long(l, out, &is_given, more, e));
            break;
        }
    }
    return SM_OK;
}

bool smi_lines_look_ahead(smi_lines *l, smi_lines_ahead *out)
{
    if (l->state != SMI_LINES_OPEN || l->len == 0) {
        return false;
    }
    if (!l->has_lf_end) { /* once for each buffer: what follows the last LF may be long */
        const uint8_t *lf = memrchr(l->data, '\n', l->len);
        l->lf_end = lf ? (size_t)(lf - l->data) + 1 : 0;
        l->has_lf_end = true;
    }
    const uint64_t own = l->end_off > l->base_off ? l->end_off - l->base_off : 0;
    const size_t stop = own < l->lf_end ? (size_t)own : l->lf_end;
    *out = (smi_lines_ahead){
        .at = l->data + l->pos,
        .stop = l->data + stop,
        .end = l->data + l->lf_end,
    };
    return l->pos < stop;
}

void smi_lines_pass(smi_lines *l, const uint8_t *to, int64_t n_lines)
{
    SM_ASSERT(l->state == SMI_LINES_OPEN && l->has_lf_end && n_lines >= 0);
    SM_ASSERT(to >= l->data + l->pos && to <= l->data + l->lf_end);
    SM_ASSERT(n_lines == 0 ? to == l->data + l->pos : to[-1] == '\n');
    l->pos = (size_t)(to - l->data);
    l->scanned = l->scanned > l->pos ? l->scanned : l->pos;
    l->n_lines += n_lines;
    if (n_lines > 0) {
        l->is_first = false;
        l->more_bytes = MORE_FIRST_BYTES;
    }
}

const uint8_t *smi_lines_at_hand(const smi_lines *l, bool *is_all)
{
    SM_ASSERT(l->state == SMI_LINES_OPEN);
    *is_all = l->is_all;
    return l->data + l->len;
}
