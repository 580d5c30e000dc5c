// SPDX-License-Identifier: Apache-2.0
/// Files for tests: the built test plugins, and copies of them in a folder of the test's own.
#ifndef TG_SPEC_PLUGIN_FILES_H
#define TG_SPEC_PLUGIN_FILES_H

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../support/check.h"

/// The path of test plugin `name`, from where this test itself was built.
static inline const char *built(const char *name)
{
    static char path[4][512];
    static int at;
    char exe[400];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    assert_true(n > 0);
    exe[n] = '\0';
    char *spec = strstr(exe, "/spec/core/plugin/");
    assert_non_null(spec);
    *spec = '\0';
    at = (at + 1) % 4;
    snprintf(path[at], sizeof(path[at]), "%s/spec/plugins/%s.so", exe, name);
    return path[at];
}

static inline char *slurp(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    *len = (size_t)ftell(f);
    rewind(f);
    char *bytes = malloc(*len + 1);
    assert_int_equal(fread(bytes, 1, *len, f), *len);
    fclose(f);
    return bytes;
}

/// Writes beside `path` and renames, as an installer does.
static inline void spill(const char *path, const char *bytes, size_t len)
{
    char next[600];
    snprintf(next, sizeof(next), "%s.new", path);
    FILE *f = fopen(next, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    fclose(f);
    assert_int_equal(rename(next, path), 0);
}

static inline void install(const char *name, const char *path)
{
    size_t len;
    char *bytes = slurp(built(name), &len);
    spill(path, bytes, len);
    free(bytes);
}

static inline void make_folder(char *path, size_t size)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(path, size, "%s/tg-plugin-test.XXXXXX", tmp != NULL ? tmp : "/tmp");
    assert_non_null(mkdtemp(path));
}

/// @return how many files it held.
static inline int remove_folder(const char *path)
{
    int n = 0;
    DIR *d = opendir(path);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char file[900];
        snprintf(file, sizeof(file), "%s/%s", path, e->d_name);
        n += unlink(file) == 0;
    }
    closedir(d);
    assert_int_equal(rmdir(path), 0);
    return n;
}

#endif
