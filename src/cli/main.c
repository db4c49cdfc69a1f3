/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/main.c: the program's entry: picks the command by its first word. */
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        puts("smelt " SMELT_VERSION);
        return 0;
    }
    fputs("usage: smelt --version\n", stderr);
    return 2;
}
