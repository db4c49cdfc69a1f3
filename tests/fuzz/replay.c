/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/fuzz/replay.c: runs a fuzz target over files instead of under a fuzzer. Each argument is a
 * file, or a folder whose regular files are run in the order of their names. Linked with every
 * x_fuzz.c for `meson test`. Fails if a folder is empty: a test without seeds proves nothing. */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

static void die(const char *what, const char *path)
{
    fprintf(stderr, "replay: %s %s: %s\n", what, path, strerror(errno));
    exit(1);
}

/* The copy has exactly the input's size, so that AddressSanitizer sees a read of one byte more. */
static void replay_file(const char *path, long size_bytes)
{
    FILE *const in = fopen(path, "rb");
    if (!in) {
        die("could not open", path);
    }
    uint8_t *const data = malloc(size_bytes > 0 ? (size_t)size_bytes : 1);
    if (!data || fread(data, 1, (size_t)size_bytes, in) != (size_t)size_bytes) {
        die("could not read", path);
    }
    fclose(in);
    fprintf(stderr, "replay: %s (%ld bytes)\n", path, size_bytes); /* the last line names a crash */
    if (LLVMFuzzerTestOneInput(data, (size_t)size_bytes) != 0) {
        die("target refused", path);
    }
    free(data);
}

static int replay_path(const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0) {
        die("could not find", path);
    }
    if (S_ISREG(info.st_mode)) {
        replay_file(path, (long)info.st_size);
        return 1;
    }
    struct dirent **names = NULL;
    const int n_names = scandir(path, &names, NULL, alphasort);
    if (n_names < 0) {
        die("could not list", path);
    }
    int n_files = 0;
    for (int i = 0; i < n_names; i++) {
        if (names[i]->d_name[0] != '.') {
            char *child = NULL;
            if (asprintf(&child, "%s/%s", path, names[i]->d_name) < 0) {
                die("out of memory at", path);
            }
            n_files += replay_path(child);
            free(child);
        }
        free(names[i]);
    }
    free(names);
    return n_files;
}

int main(int argc, char **argv)
{
    int n_files = 0;
    for (int i = 1; i < argc; i++) {
        n_files += replay_path(argv[i]);
    }
    fprintf(stderr, "replay: %d inputs\n", n_files);
    return n_files > 0 ? 0 : 1;
}
