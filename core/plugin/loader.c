// SPDX-License-Identifier: Apache-2.0
// Each version gets a file of its own: the installed path is copied, judged, opened and then
// unlinked, so the linker never meets one path twice and an `install` over it changes nothing
// that runs. Who replaces the file while it is copied is found out by the judgement.
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/near.h"
#include "codec/json_read.h"
#include "plugin/loader.h"
#include "plugin/registry.h"

typedef struct tg_engine_ref {
    tg_list node;
    const tg_engine *engine;
} tg_engine_ref;

static bool write_all(int fd, const char *at, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, at, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

static void hex(const unsigned char *bytes, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * n] = '\0';
}

static int pump(int from, int to, EVP_MD_CTX *md)
{
    char block[65536];
    for (;;) {
        ssize_t n = read(from, block, sizeof(block));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return TG_E_IO;
        if (n == 0)
            return 0;
        if (!write_all(to, block, (size_t)n) || EVP_DigestUpdate(md, block, (size_t)n) != 1)
            return TG_E_IO;
    }
}

static int copy_hashed(int from, int to, char hash[65])
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    if (md == NULL)
        return TG_E_NOMEM;
    int rc = EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 ? pump(from, to, md) : TG_E_IO;
    if (rc == 0 && EVP_DigestFinal_ex(md, sum, &len) != 1)
        rc = TG_E_IO;
    EVP_MD_CTX_free(md);
    if (rc == 0)
        hex(sum, 32, hash);
    return rc;
}

int tg_loader_copy(const char *path, const char *dir, char *copy, size_t len, char hash[65],
                   tg_error *e)
{
    int from = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (from < 0 || fstat(from, &st) != 0) {
        tg_error_set(e, errno == ENOENT ? TG_E_NOTFOUND : TG_E_IO, "%s: %s", path,
                     strerror(errno));
        if (from >= 0)
            close(from);
        return e != NULL ? e->code : TG_E_IO;
    }
    if (!S_ISREG(st.st_mode)) {
        close(from);
        return tg_error_set(e, TG_E_MALFORMED, "%s: %s", path,
                            S_ISDIR(st.st_mode) ? "a folder without an init.lua"
                                                : "not a regular file");
    }
    const char *slash = strrchr(path, '/');
    snprintf(copy, len, "%s/%s.XXXXXX", dir, slash != NULL ? slash + 1 : path);
    int to = mkostemp(copy, O_CLOEXEC);
    int rc = to < 0 ? TG_E_IO : copy_hashed(from, to, hash);
    close(from);
    if (rc == 0)
        return to;
    tg_error_set(e, rc, "%s: could not be copied to %s: %s", path, dir, strerror(errno));
    if (to >= 0) {
        unlink(copy);
        close(to);
    }
    return rc;
}

static int take_schema(tg_version *v, const tg_identity *id, const char *path, tg_error *e)
{
    if (id->schema == NULL)
        return 0;
    tg_slice json = tg_arena_copy(&v->arena, (tg_slice){id->schema, id->schema_len});
    tg_value *tree = tg_arena_alloc(&v->arena, sizeof(*tree));
    if (tree == NULL || v->arena.failed)
        return tg_error_set(e, TG_E_NOMEM, "out of memory");
    int rc = tg_json_read(json, &v->arena, tree, e);
    if (rc < 0) {
        tg_error_prefix(e, "%s: its schema is no JSON", path);
        return rc;
    }
    if (tree->kind != TG_MAP)
        return tg_error_set(e, TG_E_MALFORMED, "%s: its schema is no map", path);
    v->schema = tree;
    return 0;
}

static void take_identity(tg_version *v, const tg_plugin *p)
{
    memcpy(v->version, p->version, sizeof(v->version));
    v->capabilities = p->capabilities;
    v->flags = p->flags;
    v->state_schema = p->state_schema;
}

static int link_code(tg_version *v, const tg_identity *id, const char *copy,
                     const char *path, tg_error *e)
{
    v->handle = dlopen(copy, RTLD_NOW | RTLD_LOCAL);
    if (v->handle == NULL) {
        const char *why = dlerror();
        return tg_error_set(e, TG_E_MALFORMED, "%s: %s", path,
                            why != NULL ? why : "dlopen");
    }
    v->object = dlsym(v->handle, "tg_plugin_v1");
    if (v->object == NULL || memcmp(v->object, &id->plugin, offsetof(tg_plugin, life)) != 0)
        return tg_error_set(e, TG_E_MALFORMED, "%s: its object is not the one in the file",
                            path);
    if (v->object->life.load == NULL)
        return tg_error_set(e, TG_E_MALFORMED, "%s: it has no load()", path);
    return 0;
}

static int open_shared(tg_version *v, const char *path, tg_error *e)
{
    char copy[4096];
    tg_identity id = {0};
    int fd = tg_loader_copy(path, v->rt->state_dir, copy, sizeof(copy), v->hash, e);
    if (fd < 0)
        return fd;
    int rc = tg_elf_read(fd, path, &id, e);
    if (rc == 0)
        rc = take_schema(v, &id, path, e);
    close(fd);
    if (rc == 0)
        rc = link_code(v, &id, copy, path, e);
    unlink(copy);
    if (rc == 0)
        take_identity(v, &id.plugin);
    if (rc == 0 && v->plug->id[0] == '\0')
        memcpy(v->plug->id, id.plugin.id, sizeof(v->plug->id));
    else if (rc == 0 && strcmp(v->plug->id, id.plugin.id) != 0)
        rc = tg_error_set(e, TG_E_INVAL, "%s: is now plugin '%s', not '%s'", path,
                          id.plugin.id, v->plug->id);
    tg_identity_free(&id);
    v->engine = "c";
    return rc;
}

static int open_unit(tg_version *v, const tg_engine *engine, const char *path, tg_error *e)
{
    char why[480] = "";
    int rc = engine->open(engine, path, &v->unit, why, sizeof(why));
    if (rc < 0)
        return tg_error_set(e, rc, "%s", why[0] != '\0' ? why : tg_error_text(rc));
    v->runner = engine;
    v->engine = engine->id;
    const tg_unit *u = v->unit;
    if (!tg_id_valid(tg_str(u->id), sizeof(v->plug->id)))
        return tg_error_set(e, TG_E_MALFORMED,
                            "%s: its id is empty or has other than "
                            "letters, digits, - _ .",
                            path);
    snprintf(v->version, sizeof(v->version), "%s", u->version != NULL ? u->version : "");
    snprintf(v->hash, sizeof(v->hash), "%s", u->hash != NULL ? u->hash : "");
    v->capabilities = u->capabilities;
    v->state_schema = u->state_schema;
    v->schema = u->schema;
    if (v->plug->id[0] == '\0')
        snprintf(v->plug->id, sizeof(v->plug->id), "%s", u->id);
    else if (strcmp(v->plug->id, u->id) != 0)
        return tg_error_set(e, TG_E_INVAL, "%s: is now plugin '%s', not '%s'", path, u->id,
                            v->plug->id);
    return 0;
}

int tg_loader_open(tg_version *v, const char *path, tg_error *e)
{
    const tg_engine *engine = tg_engine_for(v->rt, path);
    return engine != NULL ? open_unit(v, engine, path, e) : open_shared(v, path, e);
}

const tg_engine *tg_engine_for(tg_runtime *rt, const char *path)
{
    for (tg_list *n = rt->engines.next; n != &rt->engines; n = n->next) {
        const tg_engine *engine = TG_OWNER(n, tg_engine_ref, node)->engine;
        if (engine->claims(engine, path))
            return engine;
    }
    return NULL;
}

int tg_engine_register(tg_runtime *rt, const tg_engine *engine)
{
    tg_engine_ref *ref = calloc(1, sizeof(*ref));
    if (ref == NULL)
        return TG_E_NOMEM;
    ref->engine = engine;
    tg_list_add(&rt->engines, &ref->node);
    return 0;
}

void tg_engines_free(tg_runtime *rt)
{
    for (tg_list *n = rt->engines.next, *next; n != &rt->engines; n = next) {
        next = n->next;
        free(TG_OWNER(n, tg_engine_ref, node));
    }
    tg_list_init(&rt->engines);
}

// A folder or a file that an engine claims, or name.so: the first on the path wins.
static char *look_in(tg_runtime *rt, const char *dir, size_t len, const char *name)
{
    static const char *const ends[] = {".so", "", ".lua"};
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        char *path = NULL;
        if (asprintf(&path, "%.*s/%s%s", (int)len, dir, name, ends[i]) < 0)
            return NULL;
        if (access(path, R_OK) == 0 && (i == 0 || tg_engine_for(rt, path) != NULL))
            return path;
        free(path);
    }
    return NULL;
}

/// Tries what lies in the folder against the name that is looked for.
static void try_names(const char *folder, size_t len, tg_near *near, char best[64])
{
    char path[4096];
    snprintf(path, sizeof(path), "%.*s", (int)len, folder);
    DIR *dir = opendir(path);
    for (const struct dirent *d; dir != NULL && (d = readdir(dir)) != NULL;) {
        char name[64];
        snprintf(name, sizeof(name), "%.*s", (int)strcspn(d->d_name, "."), d->d_name);
        tg_near_try(near, name);
        if (near->name != name)
            continue;
        memcpy(best, name, sizeof(name));
        near->name = best;
    }
    if (dir != NULL)
        closedir(dir);
}

static int not_found(const char *name, const char *dirs, tg_error *e)
{
    char best[64];
    tg_near near = {.word = tg_str(name)};
    for (const char *at = dirs; *at != '\0';) {
        size_t len = strcspn(at, ":");
        try_names(at, len, &near, best);
        at += len + (at[len] == ':');
    }
    if (near.name == NULL)
        return tg_error_set(e, TG_E_NOTFOUND, "plugin '%s' is not in %s", name, dirs);
    return tg_error_set(e, TG_E_NOTFOUND, "plugin '%s' is not in %s; did you mean '%s'?",
                        name, dirs, near.name);
}

char *tg_loader_find(tg_runtime *rt, const char *name, tg_error *e)
{
    if (strchr(name, '/') != NULL) {
        char *path = strdup(name);
        if (path == NULL)
            tg_error_set(e, TG_E_NOMEM, "out of memory");
        return path;
    }
    const char *dirs = rt->plugin_path != NULL ? rt->plugin_path : "";
    for (const char *at = dirs; *at != '\0';) {
        size_t len = strcspn(at, ":");
        char *path = len > 0 ? look_in(rt, at, len, name) : NULL;
        if (path != NULL)
            return path;
        at += len + (at[len] == ':');
    }
    not_found(name, dirs, e);
    return NULL;
}
