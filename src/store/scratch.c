/* SPDX-License-Identifier: Apache-2.0
 *
 * store/scratch.c: a local file without a name, for data that an operator has no memory for.
 *
 * Callers  exec, which spills to it, and scratch_store.c, by which its ranges are objects.
 * Method   O_TMPFILE if the file system has it, else a file that is unlinked at once: nothing is
 *          left behind, however the process ends. It is never synced, as nobody reads it after a
 *          crash. The free space of the disk is checked after every CHECK_BYTES that are written,
 *          so that a large query fails before it fills a disk that others write to. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "store/store.h"

#define CHECK_BYTES ((uint64_t)16 << 20)
#define PAGE_BYTES  ((uint64_t)4096)

struct sm_scratch {
    int fd;
    char *folder;
    _Atomic uint64_t written;
};

static sm_status fail_in(const sm_scratch *s, int os_error, const char *what, sm_error *e)
{
    const sm_status st = sm_fail_errno(e, os_error, "%s", what);
    sm_error_place(e, s->folder, 0, -1);
    sm_error_todo(e, "Name a folder on a disk with room by --spill-dir or SMELT_SPILL_DIR.");
    return st;
}

/* Makes a file and removes its name at once. */
static int open_unlinked(const char *folder)
{
    const size_t n = strlen(folder) + sizeof("/.smelt-spill-XXXXXX");
    char *path = sm_alloc(n);
    snprintf(path, n, "%s/.smelt-spill-XXXXXX", folder);
    const int fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0) {
        unlink(path);
    }
    sm_free(path);
    return fd;
}

sm_status sm_scratch_new(sm_str folder, sm_scratch **out, sm_error *e)
{
    const char *system = getenv("TMPDIR");
    const char *other = system && *system ? system : "/tmp";
    sm_scratch *s = sm_alloc_zero(sizeof(*s));
    const sm_str name = folder.len > 0 ? folder : sm_str_of(other);
    s->folder = sm_alloc(name.len + 1);
    memcpy(s->folder, name.data, name.len);
    s->folder[name.len] = '\0';
    s->fd = open(s->folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (s->fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
        s->fd = open_unlinked(s->folder);
    }
    if (s->fd < 0) {
        const sm_status st = fail_in(s, errno, "could not make a file to spill to", e);
        sm_scratch_free(s);
        return st;
    }
    *out = s;
    return SM_OK;
}

void sm_scratch_free(sm_scratch *s)
{
    if (!s) {
        return;
    }
    if (s->fd >= 0) {
        close(s->fd);
    }
    sm_free(s->folder);
    sm_free(s);
}

/* Does the disk still have the space that is left to others? */
static sm_status check_disk(const sm_scratch *s, sm_error *e)
{
    struct statvfs disk;
    if (fstatvfs(s->fd, &disk) == 0 &&
        (uint64_t)disk.f_bavail * disk.f_frsize < SM_SCRATCH_SPARE_BYTES) {
        return fail_in(s, ENOSPC, "could not spill: less than 64 MiB are free", e);
    }
    return SM_OK;
}

sm_status sm_scratch_write(sm_scratch *s, uint64_t off_bytes, const void *bytes, size_t len,
                           sm_error *e)
{
    SM_ASSERT(off_bytes <= INT64_MAX && len <= INT64_MAX - off_bytes); /* an offset of a spill's */
    const uint64_t before = atomic_fetch_add(&s->written, len);
    if (before / CHECK_BYTES != (before + len) / CHECK_BYTES || before == 0) {
        SM_TRY(check_disk(s, e));
    }
    for (size_t at = 0; at < len;) {
        const ssize_t n =
            pwrite(s->fd, (const uint8_t *)bytes + at, len - at, (off_t)(off_bytes + at));
        if (n >= 0) {
            at += (size_t)n;
        } else if (errno != EINTR) {
            return fail_in(s, errno, "could not spill", e);
        }
    }
    return SM_OK;
}

sm_status sm_scratch_read(sm_scratch *s, uint64_t off_bytes, size_t len, void *out, sm_error *e)
{
    for (size_t at = 0; at < len;) {
        const ssize_t n = pread(s->fd, (uint8_t *)out + at, len - at, (off_t)(off_bytes + at));
        if (n > 0) {
            at += (size_t)n;
        } else if (n == 0) {
            const sm_status st =
                sm_fail(e, SM_CORRUPT, "a spilled range is shorter than it was written");
            sm_error_place(e, s->folder, 0, -1);
            return st;
        } else if (errno != EINTR) {
            return fail_in(s, errno, "could not read what was spilled", e);
        }
    }
    return SM_OK;
}

void sm_scratch_drop(sm_scratch *s, uint64_t off_bytes, uint64_t len)
{
    SM_ASSERT(off_bytes <= INT64_MAX && len <= INT64_MAX - off_bytes);
    const uint64_t first = (off_bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    const uint64_t end = (off_bytes + len) / PAGE_BYTES * PAGE_BYTES;
    if (end > first) { /* if the file system cannot do it, the file is only larger */
        (void)fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)first,
                        (off_t)(end - first));
    }
}
