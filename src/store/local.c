/* SPDX-License-Identifier: Apache-2.0
 *
 * store/local.c: a directory as a store.
 *
 * Writing  A file `.smelt-tmp-<random>` in the folder of the name is written and fsynced. Then it
 *          gets the name by rename(), which replaces, or by link() and unlink(), if the name must
 *          be free. The folder is fsynced, and so is the parent of each folder that was made.
 *          O_EXCL on the name itself would not do: a process that is killed before its first write
 *          would leave an empty object. If the file system has no link() (FAT, some network and
 *          FUSE systems), renameat2(RENAME_NOREPLACE) is tried. A process that is killed leaves its
 *          temporary file, which is never listed.
 * Reading  A blob keeps its file open, so it does not matter if its name is replaced or removed.
 * Listing  Folder by folder, without recursion, then sorted. Symbolic links are followed, but not
 *          into a folder that is above them, as such a loop would list its files again and again.
 *          Broken links, pipes and devices are left out, unless the listing is `delimited`. A
 *          listing for a clean-up (is_own) follows no links and has temporary files.
 * Names    are bytes; a "file://" URI is not percent-decoded. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/store_int.h"

#define TMP_PREFIX     SMI_TEMPORARY
#define TMP_NAME_BYTES (sizeof(TMP_PREFIX) + 16)

/* Two I/O threads with a read of 4 MiB each; the queue of a disk needs less. */
#define LOCAL_INFLIGHT_BYTES ((size_t)8 << 20)

typedef struct local_store {
    sm_store store;
    char *root; /* without a final '/', so "" for "/" */
} local_store;

typedef struct local_blob {
    sm_blob blob;
    int fd;
} local_blob;

typedef struct local_writer {
    smi_writer writer;
    int fd;
    char *path, *tmp;  /* tmp: NULL if there is no temporary file */
    size_t folder_len; /* of path, before its last '/' */
} local_writer;

/* The path of a key or prefix. The caller frees it by sm_free(). */
static char *path_of(const sm_store *s, sm_str key)
{
    const char *root = ((const local_store *)s)->root;
    const size_t n = strlen(root);
    char *path = sm_alloc(n + key.len + 2);
    memcpy(path, root, n);
    path[n] = '/';
    if (key.len > 0) {
        memcpy(path + n + 1, key.data, key.len);
    }
    path[n + 1 + key.len] = '\0';
    return path;
}

/* sm_fail_errno() with better texts for errors that come from names and folders. */
static sm_status fail_os(sm_error *e, int os_error, const char *what)
{
    sm_status st = SM_OK;
    switch (os_error) {
    case ENOTDIR:
        return sm_fail(e, SM_NOT_FOUND, "%s: a file stands where a folder should be", what);
    case ENAMETOOLONG:
        return sm_fail(e, SM_INVALID, "%s: the name is too long for the file system", what);
    case ELOOP:
        return sm_fail(e, SM_INVALID, "%s: its symbolic links form a loop", what);
    case EMFILE:
    case ENFILE:
        st = sm_fail_errno(e, os_error, "%s", what);
        sm_error_todo(e, "Raise the limit of open files (ulimit -n).");
        return st;
    default:
        st = sm_fail_errno(e, os_error, "%s", what);
        if (os_error == EROFS) {
            sm_error_todo(e, "Name another place, or mount this one so that it can be written.");
        } else if (st == SM_DENIED) {
            sm_error_todo(e, "Give the user that runs smelt access to it.");
        } else if (st == SM_DISK_FULL) {
            sm_error_todo(e, "Free or add space, or raise the quota, and run it again.");
        }
        return st;
    }
}

/* ---- opening --------------------------------------------------------------------------------- */

static const sm_store_ops local_ops;

sm_status smi_local_open(sm_stores *stores, sm_str uri, sm_store **out, sm_error *e)
{
    sm_str path = uri;
    if (uri.len >= 7 && sm_str_eq_nocase((sm_str){uri.data, 7}, SM_STR("file://"))) {
        path = (sm_str){uri.data + 7, uri.len - 7};
        const sm_str here = SM_STR("localhost/");
        if (sm_str_starts(path, here)) {
            path = (sm_str){path.data + here.len - 1, path.len - here.len + 1};
        }
        if (path.len == 0 || path.data[0] != '/') {
            const sm_status st =
                sm_fail(e, SM_INVALID, "\"%.*s\" names another host", SM_STR_ARG(uri));
            sm_error_todo(e, "Write file:///absolute/path, or the path alone.");
            return st;
        }
    }
    while (path.len > 0 && path.data[path.len - 1] == '/') {
        path.len--;
    }
    local_store *s = sm_alloc_zero(sizeof(*s));
    smi_store_init(&s->store, stores, &local_ops, uri);
    s->root = smi_str_dup(path);
    *out = &s->store;
    return SM_OK;
}

static void local_close(sm_store *s)
{
    sm_free(((local_store *)s)->root);
    sm_free(s);
}

static size_t local_inflight_bytes(const sm_store *s)
{
    return LOCAL_INFLIGHT_BYTES;
}

/* ---- reading --------------------------------------------------------------------------------- */

static int64_t micros(struct timespec t)
{
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static sm_entry entry_of(sm_str key, const struct stat *info)
{
    return (sm_entry){
        .key = key,
        .size_bytes = (uint64_t)info->st_size,
        .modified_us = micros(info->st_mtim),
        .changed_us = micros(info->st_ctim),
        .inode = (uint64_t)info->st_ino,
        .etag = SM_STR(""),
    };
}

/* A folder is not an object. Pipes and devices have no size and no ranges. */
static sm_status check_file(const struct stat *info, sm_error *e)
{
    if (S_ISDIR(info->st_mode)) {
        return sm_fail(e, SM_NOT_FOUND, "a folder stands where a file should be");
    }
    if (!S_ISREG(info->st_mode)) {
        return sm_fail(e, SM_UNSUPPORTED, "it is not a regular file");
    }
    return SM_OK;
}

/* Is the name of a key, or of one of its folders below the root, a symbolic link? Changes `path`
 * meanwhile, whose last key_len bytes are the key. */
static bool is_linked(char *path, size_t key_len)
{
    const size_t root_len = strlen(path) - key_len;
    const size_t n = root_len + key_len;
    bool found = false;

    SM_ASSERT(root_len > 0 && path[root_len - 1] == '/');
    for (size_t i = root_len; i <= n && !found; i++) {
        if (path[i] == '/' || path[i] == '\0') {
            struct stat info;
            const char end = path[i];
            path[i] = '\0';
            found = lstat(path, &info) == 0 && S_ISLNK(info.st_mode);
            path[i] = end;
        }
    }
    return found;
}

static sm_status local_stat(sm_store *s, sm_str key, sm_arena *a, sm_entry *out, sm_error *e)
{
    char *path = path_of(s, key);
    struct stat info;
    const int os_error = stat(path, &info) == 0 ? 0 : errno;
    const bool through_link = !os_error && is_linked(path, key.len);
    sm_free(path);
    if (os_error) {
        return fail_os(e, os_error, "could not look up the file");
    }
    SM_TRY(check_file(&info, e));
    *out = entry_of(sm_arena_str(a, key), &info);
    out->is_linked = through_link;
    return SM_OK;
}

static int open_retrying(const char *path, int flags, mode_t mode)
{
    int fd = -1;
    do {
        fd = open(path, flags | O_CLOEXEC, mode);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

static sm_status local_blob_open(sm_store *s, sm_str key, sm_blob **out, sm_error *e)
{
    char *path = path_of(s, key);
    const int fd = open_retrying(path, O_RDONLY | O_NONBLOCK, 0); /* a pipe must not hold us up */
    const int os_error = errno;
    sm_free(path);
    if (fd < 0) {
        return fail_os(e, os_error, "could not open the file");
    }
    struct stat info;
    sm_status st = SM_OK;
    if (fstat(fd, &info) != 0) {
        st = fail_os(e, errno, "could not look up the file");
    } else {
        st = check_file(&info, e);
    }
    if (st != SM_OK) {
        close(fd);
        return st;
    }
    local_blob *b = sm_alloc_zero(sizeof(*b));
    b->blob.size_bytes = (uint64_t)info.st_size;
    b->blob.modified_us = micros(info.st_mtim);
    b->fd = fd;
    *out = &b->blob;
    return SM_OK;
}

static sm_status local_blob_read(sm_blob *b, uint64_t off_bytes, size_t len, void *out, sm_error *e)
{
    const int fd = ((local_blob *)b)->fd;
    size_t got = 0;
    SM_ASSERT(off_bytes <= b->size_bytes && len <= b->size_bytes - off_bytes);
    while (got < len) {
        const ssize_t n = pread(fd, (char *)out + got, len - got, (off_t)(off_bytes + got));
        if (n > 0) {
            got += (size_t)n;
        } else if (n == 0) {
            const uint64_t end = off_bytes + got;
            const sm_status st =
                sm_fail(e, SM_CORRUPT, "the file shrank: it had %" PRIu64 " bytes when opened",
                        b->size_bytes);
            sm_error_place(e, b->uri.data, 0, (int64_t)end);
            sm_error_todo(e, "Run it again when nobody writes to the file.");
            return st;
        } else if (errno != EINTR) {
            return fail_os(e, errno, "could not read the file");
        }
    }
    return SM_OK;
}

static void local_blob_free(sm_blob *b)
{
    close(((local_blob *)b)->fd);
    sm_free(b);
}

/* ---- listing --------------------------------------------------------------------------------- */

/* A folder, and those that the listing has come through to it. */
typedef struct way {
    dev_t device;
    ino_t number;
    const struct way *above;
} way;

typedef struct todo_folder {
    sm_str key; /* "" or ending in '/' */
    const way *above;
} todo_folder;

typedef struct listing {
    const smi_listing *what;
    const sm_store *store;
    sm_arena *arena;
    sm_entry
        *items; /* on the heap, as an array that grows in an arena leaves its old copies there */
    int64_t n_items, items_cap;
    todo_folder *todo; /* folders still to be read, the last one first */
    int64_t n_todo, todo_cap;
} listing;

/* The key of a name, with room for a '/' behind it. */
static sm_str join_key(sm_arena *a, sm_str folder, const char *name)
{
    const size_t n = strlen(name);
    char *text = sm_arena_alloc(a, folder.len + n + 2);
    if (folder.len > 0) {
        memcpy(text, folder.data, folder.len);
    }
    memcpy(text + folder.len, name, n + 1);
    return (sm_str){text, folder.len + n};
}

static void add_item(listing *l, sm_entry item)
{
    if (l->n_items == l->items_cap) {
        l->items_cap = l->items_cap > 0 ? 2 * l->items_cap : 64;
        l->items = sm_realloc(l->items, (size_t)l->items_cap * sizeof(*l->items));
    }
    l->items[l->n_items++] = item;
}

static void add_folder(listing *l, sm_str key, const way *above)
{
    SM_ASSERT(key.data[key.len] == '\0'); /* join_key() has left room for the '/' */
    ((char *)key.data)[key.len++] = '/';
    if (l->what->delimited) {
        if (sm_str_cmp(key, l->what->after) > 0) {
            add_item(l, (sm_entry){.key = key, .etag = SM_STR(""), .is_folder = true});
        }
        return;
    }
    /* All keys in the folder are before `after` if the folder's key is, and `after` is not in it.
     * */
    if (sm_str_cmp(key, l->what->after) < 0 && !sm_str_starts(l->what->after, key)) {
        return;
    }
    l->todo = sm_arena_grow(l->arena, l->todo, l->n_todo, &l->todo_cap, sizeof(*l->todo));
    l->todo[l->n_todo++] = (todo_folder){.key = key, .above = above};
}

/* Adds a name that is not an object: a link to nowhere or to itself, a pipe, a device. */
static void add_other(listing *l, sm_str key)
{
    if (l->what->delimited && sm_str_cmp(key, l->what->after) > 0) {
        add_item(l, (sm_entry){.key = key, .etag = SM_STR(""), .is_other = true});
    }
}

static bool is_temporary_name(const char *name)
{
    return strncmp(name, TMP_PREFIX, strlen(TMP_PREFIX)) == 0;
}

static sm_status add_name(listing *l, int folder_fd, sm_str folder, const way *here,
                          const struct dirent *d, sm_error *e)
{
    if (l->what->is_left && d->d_type == DT_REG && !is_temporary_name(d->d_name)) {
        return SM_OK;
    }
    const sm_str key = join_key(l->arena, folder, d->d_name);
    const bool is_after = sm_str_cmp(key, l->what->after) > 0;
    if (d->d_type == DT_DIR) {
        add_folder(l, key, here);
        return SM_OK;
    }
    if (d->d_type == DT_REG && !is_after) {
        return SM_OK; /* saves the look-up of each old file of a long log */
    }
    struct stat info;
    if (fstatat(folder_fd, d->d_name, &info, l->what->is_own ? AT_SYMLINK_NOFOLLOW : 0) != 0) {
        if (errno == ENOENT || errno == ELOOP) {
            if (d->d_type == DT_LNK) {
                add_other(l, key);
            }
            return SM_OK; /* else it was removed meanwhile */
        }
        return fail_os(e, errno, "could not look up an object of the folder");
    }
    if (S_ISDIR(info.st_mode)) {
        add_folder(l, key, here);
    } else if (!S_ISREG(info.st_mode)) {
        add_other(l, key);
    } else if (is_after && (!l->what->is_left || is_temporary_name(d->d_name))) {
        add_item(l, entry_of(key, &info));
    }
    return SM_OK;
}

static bool is_hidden(const listing *l, const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
           (!l->what->is_own && is_temporary_name(name));
}

/* The way to the open folder; NULL if the way has come through it already. */
static const way *go_down(listing *l, int folder_fd, const way *above)
{
    struct stat info;
    if (fstat(folder_fd, &info) != 0) {
        return above;
    }
    for (const way *w = above; w; w = w->above) {
        if (w->device == info.st_dev && w->number == info.st_ino) {
            return NULL;
        }
    }
    way *here = SM_NEW(l->arena, way);
    *here = (way){.device = info.st_dev, .number = info.st_ino, .above = above};
    return here;
}

static sm_status read_folder(listing *l, todo_folder todo, sm_error *e)
{
    const sm_str folder = todo.key;
    char *path = path_of(l->store, folder);
    sm_status st = SM_OK;
    DIR *dir = opendir(path);
    if (!dir) {
        const bool is_gone = errno == ENOENT && folder.len > l->what->prefix.len;
        st = is_gone ? SM_OK : fail_os(e, errno, "could not read the folder");
        goto done;
    }
    const way *here = go_down(l, dirfd(dir), todo.above);
    while (here) {
        errno = 0;
        const struct dirent *d = readdir(dir);
        if (!d) {
            st = errno ? fail_os(e, errno, "could not read the folder") : SM_OK;
            break;
        }
        if (!is_hidden(l, d->d_name)) {
            SM_TRY_GOTO(st, done, add_name(l, dirfd(dir), folder, here, d, e));
        }
    }
done:
    if (dir) {
        closedir(dir);
    }
    if (st != SM_OK) {
        sm_str uri = smi_object_uri(l->store, folder);
        sm_error_place(e, uri.data, 0, -1);
        sm_free((char *)uri.data);
    }
    sm_free(path);
    return st;
}

static int by_key(const void *a, const void *b)
{
    return sm_str_cmp(((const sm_entry *)a)->key, ((const sm_entry *)b)->key);
}

static sm_status local_list(sm_store *s, const smi_listing *what, sm_arena *a, sm_entry **out,
                            int64_t *n, sm_error *e)
{
    listing l = {.what = what, .store = s, .arena = a};
    sm_status st = read_folder(&l, (todo_folder){.key = what->prefix}, e);
    while (st == SM_OK && l.n_todo > 0) {
        st = read_folder(&l, l.todo[--l.n_todo], e);
    }
    if (st == SM_OK) {
        *out = SM_NEW_ARRAY(a, sm_entry, l.n_items);
        *n = l.n_items;
    }
    if (st == SM_OK && l.n_items > 0) {
        qsort(l.items, (size_t)l.n_items, sizeof(*l.items), by_key);
        memcpy(*out, l.items, (size_t)l.n_items * sizeof(*l.items));
    }
    sm_free(l.items);
    return st;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Makes new names in a folder durable. */
static sm_status sync_folder(const char *path, sm_error *e)
{
    const int fd = open_retrying(path[0] ? path : "/", O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0) {
        return fail_os(e, errno, "could not open the folder");
    }
    /* EINVAL: the file system has no fsync for folders and keeps names by other means. */
    const int os_error = fsync(fd) == 0 || errno == EINVAL ? 0 : errno;
    close(fd);
    return os_error ? fail_os(e, os_error, "could not fsync the folder") : SM_OK;
}

/* For writes: a missing folder would have been made, so the name is wrong. */
static sm_status fail_folder(sm_error *e, int os_error, const char *what)
{
    if (os_error == ENOTDIR) {
        return sm_fail(e, SM_INVALID, "%s: a file stands where a folder should be", what);
    }
    return fail_os(e, os_error, what);
}

/* Makes a folder and the missing ones above it, durably. Changes `path` meanwhile. */
static sm_status make_folders(char *path, sm_error *e)
{
    char *slash = strrchr(path, '/');
    int os_error = mkdir(path, 0777) == 0 ? 0 : errno;
    if (os_error == ENOENT && slash && slash != path) {
        *slash = '\0';
        const sm_status st = make_folders(path, e);
        *slash = '/';
        SM_TRY(st);
        os_error = mkdir(path, 0777) == 0 ? 0 : errno;
    }
    if (os_error == EEXIST) {
        return SM_OK; /* another writer made it; if it is not a folder, opening the file fails */
    }
    if (os_error) {
        return fail_folder(e, os_error, "could not make the folder");
    }
    if (!slash) {
        return sync_folder(".", e);
    }
    *slash = '\0';
    const sm_status st = sync_folder(path, e);
    *slash = '/';
    return st;
}

static bool random_u64(uint64_t *out)
{
    ssize_t n = 0;
    do {
        n = getrandom(out, sizeof(*out), 0);
    } while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof(*out);
}

/* Opens a new temporary file in the folder of w->path. */
static int open_tmp(local_writer *w)
{
    SM_ASSERT(!w->tmp && w->path[w->folder_len] == '/');
    w->tmp = sm_alloc(w->folder_len + 1 + TMP_NAME_BYTES);
    for (;;) {
        uint64_t salt = 0;
        if (!random_u64(&salt)) {
            return -1;
        }
        snprintf(w->tmp, w->folder_len + 1 + TMP_NAME_BYTES, "%.*s/" TMP_PREFIX "%016" PRIx64,
                 (int)w->folder_len, w->path, salt);
        const int fd = open_retrying(w->tmp, O_WRONLY | O_CREAT | O_EXCL, 0666);
        if (fd >= 0 || errno != EEXIST) {
            return fd;
        }
    }
}

static void local_writer_free(smi_writer *writer)
{
    local_writer *w = (local_writer *)writer;
    if (w->fd >= 0) {
        close(w->fd);
    }
    if (w->tmp) {
        unlink(w->tmp); /* if that fails, the file stays, as after a kill */
    }
    sm_free(w->tmp);
    sm_free(w->path);
    sm_free(w);
}

/* Refuses a name like those of temporary files, which would never be listed. */
static sm_status check_name(const char *path, size_t folder_len, sm_error *e)
{
    if (strncmp(path + folder_len + 1, TMP_PREFIX, strlen(TMP_PREFIX)) == 0) {
        return sm_fail(e, SM_INVALID,
                       "names that start with \"" TMP_PREFIX
                       "\" are kept for files that are being written");
    }
    return SM_OK;
}

/* rename() would replace whatever has the name, a device or a pipe too. */
static sm_status check_replaced(const char *path, sm_error *e)
{
    struct stat info;

    if (stat(path, &info) != 0 || S_ISREG(info.st_mode)) {
        return SM_OK; /* nothing is replaced, or a file, or a dangling link */
    }
    return sm_fail(e, S_ISDIR(info.st_mode) ? SM_EXISTS : SM_INVALID,
                   S_ISDIR(info.st_mode) ? "there is a folder of this name"
                                         : "there is a device or a pipe of this name, and a file "
                                           "would take its place");
}

static sm_status local_writer_open(sm_store *s, sm_str key, smi_writer **out, sm_error *e)
{
    local_writer *w = sm_alloc_zero(sizeof(*w));
    w->fd = -1;
    w->path = path_of(s, key);
    w->folder_len = (size_t)(strrchr(w->path, '/') - w->path);
    sm_status st = check_name(w->path, w->folder_len, e);
    if (st == SM_OK) {
        st = check_replaced(w->path, e);
    }
    if (st != SM_OK) {
        goto done;
    }
    w->fd = open_tmp(w);
    if (w->fd < 0 && errno == ENOENT) {
        sm_free(w->tmp);
        w->tmp = NULL;
        w->path[w->folder_len] = '\0';
        st = make_folders(w->path, e);
        w->path[w->folder_len] = '/';
        if (st != SM_OK) {
            goto done;
        }
        w->fd = open_tmp(w);
    }
    if (w->fd < 0) {
        const int os_error = errno;
        sm_free(w->tmp);
        w->tmp = NULL; /* it was never made */
        st = fail_folder(e, os_error, "could not make a file in the folder");
    }
done:
    if (st != SM_OK) {
        local_writer_free(&w->writer);
        return st;
    }
    *out = &w->writer;
    return SM_OK;
}

static sm_status write_all(int fd, const void *bytes, size_t n, sm_error *e)
{
    size_t put = 0;
    while (put < n) {
        const ssize_t k = write(fd, (const char *)bytes + put, n - put);
        if (k > 0) {
            put += (size_t)k;
        } else if (k == 0) {
            return sm_fail(e, SM_IO, "could not write the file: nothing was taken");
        } else if (errno != EINTR) {
            return fail_os(e, errno, "could not write the file");
        }
    }
    return SM_OK;
}

static sm_status local_writer_write(smi_writer *w, sm_block *block, size_t n, sm_waker waker,
                                    sm_error *e)
{
    (void)waker;
    return write_all(((local_writer *)w)->fd, block->data, n, e);
}

/* Gives the temporary file its name, if that is free. */
static sm_status link_if_absent(local_writer *w, sm_error *e)
{
    if (link(w->tmp, w->path) == 0) {
        return SM_OK; /* finish_file() removes the temporary name */
    }
    if (errno == EEXIST) {
        /* On a network file system the response to link() may get lost. The system then repeats the
         * call and finds the name that the first one made. */
        struct stat info;
        if (fstat(w->fd, &info) == 0 && info.st_nlink == 2) {
            return SM_OK;
        }
        return sm_fail(e, SM_EXISTS, "the file exists already");
    }
    if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS && errno != EMLINK) {
        return fail_os(e, errno, "could not give the file its name");
    }
    if (renameat2(AT_FDCWD, w->tmp, AT_FDCWD, w->path, RENAME_NOREPLACE) == 0) {
        sm_free(w->tmp);
        w->tmp = NULL;
        return SM_OK;
    }
    if (errno == EEXIST) {
        return sm_fail(e, SM_EXISTS, "the file exists already");
    }
    if (errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP) {
        const sm_status st = sm_fail(e, SM_UNSAFE_STORE,
                                     "the file system has neither hard links nor a rename that "
                                     "does not replace");
        sm_error_todo(e, "Keep tables on a local file system such as ext4 or xfs.");
        return st;
    }
    return fail_os(e, errno, "could not give the file its name");
}

static sm_status finish_file(local_writer *w, sm_put_mode mode, sm_error *e)
{
    int failed = 0;
    SM_ASSERT(w->fd >= 0 && w->tmp); /* a file is finished once */
    do {
        failed = fsync(w->fd);
    } while (failed && errno == EINTR);
    if (failed) {
        return fail_os(e, errno, "could not fsync the file");
    }
    if (mode == SM_PUT_IF_ABSENT) {
        SM_TRY(link_if_absent(w, e));
    } else {
        if (rename(w->tmp, w->path) != 0) {
            return fail_os(e, errno, "could not give the file its name");
        }
        sm_free(w->tmp);
        w->tmp = NULL;
    }
    if (w->tmp) {
        unlink(w->tmp); /* before the fsync of the folder, which then makes both changes durable */
        sm_free(w->tmp);
        w->tmp = NULL;
    }
    w->path[w->folder_len] = '\0';
    const sm_status st = sync_folder(w->path, e);
    w->path[w->folder_len] = '/';
    return st;
}

static sm_status local_writer_finish(smi_writer *w, sm_waker waker, sm_error *e)
{
    (void)waker;
    return finish_file((local_writer *)w, SM_PUT_REPLACE, e);
}

static sm_status local_put(sm_store *s, sm_str key, const void *bytes, size_t n, sm_put_mode mode,
                           sm_error *e)
{
    if (mode == SM_PUT_IF_ABSENT) { /* link() decides; this saves the loser two fsyncs */
        char *path = path_of(s, key);
        struct stat info;
        const bool is_taken = lstat(path, &info) == 0;
        sm_free(path);
        if (is_taken) {
            return sm_fail(e, SM_EXISTS, "the file exists already");
        }
    }
    smi_writer *w = NULL;
    SM_TRY(local_writer_open(s, key, &w, e));
    sm_status st = write_all(((local_writer *)w)->fd, bytes, n, e);
    if (st == SM_OK) {
        st = finish_file((local_writer *)w, mode, e);
    }
    local_writer_free(w);
    return st;
}

/* Without fsync: an object that is back after a power cut is one that nothing refers to. */
static sm_status local_remove(sm_store *s, sm_str key, sm_error *e)
{
    char *path = path_of(s, key);
    const int os_error = unlink(path) == 0 ? 0 : errno;
    sm_free(path);
    const bool is_no_object = os_error == ENOENT || os_error == ENOTDIR || os_error == EISDIR;
    return os_error && !is_no_object ? fail_os(e, os_error, "could not delete the file") : SM_OK;
}

static const sm_store_ops local_ops = {
    .close = local_close,
    .inflight_bytes = local_inflight_bytes,
    .list = local_list,
    .stat = local_stat,
    .put = local_put,
    .remove = local_remove,
    .blob_open = local_blob_open,
    .blob_read = local_blob_read,
    .blob_free = local_blob_free,
    .writer_open = local_writer_open,
    .writer_write = local_writer_write,
    .writer_finish = local_writer_finish,
    .writer_free = local_writer_free,
};
