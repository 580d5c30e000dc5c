// SPDX-License-Identifier: Apache-2.0
// Only what require() can name is read: .lua files below the folder, whose path becomes the
// module's name. Links are followed, as an installed plugin may be one.
#include "lua/source.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "lua/digest.h"

#define DEPTH_MAX 8

static char *read_file(const char *path, size_t *len, tg_error *e)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        tg_error_set(e, errno == ENOENT ? TG_E_NOTFOUND : TG_E_IO, "%s: %s", path,
                     strerror(errno));
        return NULL;
    }
    tg_buf b = {0};
    size_t n;
    do {
        char *at = tg_buf_reserve(&b, 4096);
        n = at != NULL ? fread(at, 1, 4096, f) : 0;
        b.len += n;
    } while (n > 0 && b.len <= TG_SOURCE_BYTES);
    bool bad = ferror(f) != 0;
    fclose(f);
    if (bad || b.failed || b.len > TG_SOURCE_BYTES) {
        tg_buf_free(&b);
        tg_error_set(e, bad ? TG_E_IO : TG_E_TOOBIG, "%s: %s", path,
                     bad ? "cannot be read" : "larger than 1 MiB");
        return NULL;
    }
    *len = b.len;
    return b.at != NULL ? b.at : calloc(1, 1);
}

static int add(tg_sources *s, const char *path, const char *name, tg_error *e)
{
    if (s->count >= TG_SOURCE_FILES)
        return tg_error_set(e, TG_E_LIMIT, "%s: more than %d files", path, TG_SOURCE_FILES);
    tg_source *at = realloc(s->at, (s->count + 1) * sizeof(*at));
    if (at == NULL)
        return tg_error_set(e, TG_E_NOMEM, "out of memory");
    s->at = at;
    at += s->count;
    memset(at, 0, sizeof(*at));
    at->text = read_file(path, &at->len, e);
    if (at->text == NULL)
        return e != NULL ? e->code : TG_E_IO;
    s->count++;
    at->name = strdup(name);
    if (at->name == NULL || asprintf(&at->chunk, "@%s/%s", s->label, name) < 0)
        return tg_error_set(e, TG_E_NOMEM, "out of memory");
    return 0;
}

static bool is_lua(const char *name)
{
    size_t n = strlen(name);
    return n > 4 && strcmp(name + n - 4, ".lua") == 0;
}

/// @param prefix "" or "sub.": what modules of this folder are called.
static int read_folder(tg_sources *s, const char *folder, const char *prefix, int depth,
                       tg_error *e)
{
    DIR *d = opendir(folder);
    if (d == NULL)
        return tg_error_set(e, errno == ENOENT ? TG_E_NOTFOUND : TG_E_IO, "%s: %s", folder,
                            strerror(errno));
    int rc = 0;
    struct dirent *entry;
    while (rc == 0 && (entry = readdir(d)) != NULL) {
        char path[4096], name[TG_SOURCE_NAME];
        struct stat st;
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        if (stat(path, &st) != 0)
            continue;
        if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX) {
            snprintf(name, sizeof(name), "%s%s.", prefix, entry->d_name);
            rc = read_folder(s, path, name, depth + 1, e);
        } else if (S_ISREG(st.st_mode) && is_lua(entry->d_name)) {
            snprintf(name, sizeof(name), "%s%.*s", prefix, (int)strlen(entry->d_name) - 4,
                     entry->d_name);
            rc = add(s, path, name, e);
        }
    }
    closedir(d);
    return rc;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const tg_source *)a)->name, ((const tg_source *)b)->name);
}

static void hash(tg_sources *s)
{
    tg_digest d;
    tg_digest_init(&d);
    tg_digest_add(&d, tg_str(s->main));
    for (size_t i = 0; i < s->count; i++) {
        char head[32];
        int n =
            snprintf(head, sizeof(head), "%zu:%zu:", strlen(s->at[i].name), s->at[i].len);
        tg_digest_add(&d, (tg_slice){head, (size_t)n});
        tg_digest_add(&d, tg_str(s->at[i].name));
        tg_digest_add(&d, (tg_slice){s->at[i].text, s->at[i].len});
    }
    tg_digest_hex(&d, s->hash);
}

/// "…/gt06/" and "…/gt06.lua" are both "gt06".
static char *label_of(const char *path)
{
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        end--;
    size_t from = end;
    while (from > 0 && path[from - 1] != '/')
        from--;
    if (end - from > 4 && memcmp(path + end - 4, ".lua", 4) == 0)
        end -= 4;
    return strndup(path + from, end - from);
}

/// Names of chunks end in ".lua" and show folders as they are on disk.
static int name_chunks(tg_sources *s, bool folder)
{
    for (size_t i = 0; i < s->count; i++) {
        tg_source *at = &s->at[i];
        free(at->chunk);
        int rc = folder ? asprintf(&at->chunk, "@%s/%s", s->label, at->name)
                        : asprintf(&at->chunk, "@%s", s->label);
        if (rc < 0) {
            at->chunk = NULL;
            return TG_E_NOMEM;
        }
        for (char *c = at->chunk + 1 + strlen(s->label); *c != '\0'; c++)
            if (*c == '.')
                *c = '/';
        char *whole;
        if (asprintf(&whole, "%s.lua", at->chunk) < 0)
            return TG_E_NOMEM;
        free(at->chunk);
        at->chunk = whole;
    }
    return 0;
}

/// The folder that `path`, a file, is an entry of; NULL: it stands alone.
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *init = NULL, *folder = NULL;
    struct stat st;
    if (slash == NULL || !is_lua(path) ||
        asprintf(&init, "%.*s/init.lua", (int)(slash - path), path) < 0)
        return NULL;
    if (stat(init, &st) == 0)
        folder = strndup(path, (size_t)(slash - path));
    free(init);
    return folder;
}

static int read_all(tg_sources *s, const char *path, bool folder, tg_error *e)
{
    int rc = folder ? read_folder(s, path, "", 0, e) : add(s, path, s->main, e);
    return rc == 0 ? name_chunks(s, folder) : rc;
}

int tg_sources_read(const char *path, tg_sources *out, tg_error *e)
{
    tg_sources s = {0};
    struct stat st;
    if (stat(path, &st) != 0)
        return tg_error_set(e, TG_E_NOTFOUND, "%s: %s", path, strerror(errno));
    bool folder = S_ISDIR(st.st_mode);
    char *within = folder ? NULL : folder_of(path);
    const char *from = within != NULL ? within : path;
    s.label = label_of(from);
    char *entry = within != NULL ? label_of(path) : NULL;
    snprintf(s.main, sizeof(s.main), "%s", entry != NULL ? entry : "init");
    int rc = s.label == NULL || (within != NULL && entry == NULL)
                 ? tg_error_set(e, TG_E_NOMEM, "out of memory")
                 : read_all(&s, from, folder || within != NULL, e);
    free(entry);
    free(within);
    if (s.count > 1)
        qsort(s.at, s.count, sizeof(*s.at), by_name);
    if (rc == 0 && tg_sources_main(&s) == NULL)
        rc = tg_error_set(e, TG_E_NOTFOUND, "%s: no %s.lua", path, s.main);
    if (rc != 0) {
        tg_sources_free(&s);
        return rc;
    }
    hash(&s);
    *out = s;
    return 0;
}

void tg_sources_free(tg_sources *s)
{
    for (size_t i = 0; i < s->count; i++) {
        free(s->at[i].name);
        free(s->at[i].chunk);
        free(s->at[i].text);
    }
    free(s->at);
    free(s->label);
    memset(s, 0, sizeof(*s));
}

const tg_source *tg_sources_find(const tg_sources *s, const char *name)
{
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->at[i].name, name) == 0)
            return &s->at[i];
    return NULL;
}

const tg_source *tg_sources_main(const tg_sources *s)
{
    return tg_sources_find(s, s->main);
}
