// SPDX-License-Identifier: Apache-2.0
// Users written in the config: a password as it is, or "pbkdf2$sha256$<iterations>$<salt>$
// <hash>", salt and hash in base64. Every comparison takes the same time whatever differs.
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/rule.h"
#include "hub/hub.h"
#include "plugin/auth.h"

#define HASH_MAX 64
#define SALT_MAX 64
#define ITERATIONS_MAX 10000000

struct tg_user {
    tg_slice name;
    tg_slice password; ///< plain; empty when hashed
    uint32_t iterations; ///< 0: plain
    uint32_t salt_len, hash_len;
    unsigned char salt[SALT_MAX], hash[HASH_MAX];
    const tg_value *attributes;
};

struct tg_users {
    tg_arena arena;
    tg_value *list; ///< our copy: names and passwords are slices of it
    tg_user *at;
    size_t count;
    tg_map by_name;
};

typedef struct user_spec {
    tg_slice user, password;
    const tg_value *publish, *subscribe;
} user_spec;

#define SPEC(member) offsetof(user_spec, member)
static const tg_option user_options[] = {
    {.name = "user", .type = TG_OPT_STR, .required = true, .offset = SPEC(user)},
    {.name = "password", .type = TG_OPT_STR, .required = true, .offset = SPEC(password)},
    {.name = "publish", .type = TG_OPT_LIST, .offset = SPEC(publish)},
    {.name = "subscribe", .type = TG_OPT_LIST, .offset = SPEC(subscribe)},
    {0},
};

static tg_slice field(tg_slice *rest)
{
    const char *end = rest->len > 0 ? memchr(rest->at, '$', rest->len) : NULL;
    size_t len = end != NULL ? (size_t)(end - rest->at) : rest->len;
    tg_slice f = {rest->at, len};
    size_t used = end != NULL ? len + 1 : len;
    *rest = (tg_slice){rest->at + used, rest->len - used};
    return f;
}

/// @return bytes, or 0 when it is no base64 or too long.
static uint32_t base64(tg_slice text, unsigned char *out, size_t max)
{
    char padded[128];
    unsigned char bytes[128];
    while (text.len > 0 && text.at[text.len - 1] == '=')
        text.len--;
    size_t len = (text.len + 3) / 4 * 4;
    if (text.len == 0 || text.len % 4 == 1 || len >= sizeof(padded))
        return 0;
    memset(padded, '=', len);
    memcpy(padded, text.at, text.len);
    if (EVP_DecodeBlock(bytes, (const unsigned char *)padded, (int)len) < 0)
        return 0;
    size_t n = text.len * 3 / 4;
    if (n > max)
        return 0;
    memcpy(out, bytes, n);
    return (uint32_t)n;
}

static uint32_t number(tg_slice text)
{
    char digits[12];
    if (text.len == 0 || text.len >= sizeof(digits))
        return 0;
    memcpy(digits, text.at, text.len);
    digits[text.len] = '\0';
    char *end;
    unsigned long n = strtoul(digits, &end, 10);
    return *end == '\0' && digits[0] != '-' && n <= ITERATIONS_MAX ? (uint32_t)n : 0;
}

/// @return false when it looks hashed and is not right.
static bool take_password(tg_user *u, tg_slice text)
{
    tg_slice rest = text;
    if (!tg_slice_eq(field(&rest), TG_LIT("pbkdf2"))) {
        u->password = text;
        return true;
    }
    if (!tg_slice_eq(field(&rest), TG_LIT("sha256")))
        return false;
    u->iterations = number(field(&rest));
    u->salt_len = base64(field(&rest), u->salt, SALT_MAX);
    u->hash_len = base64(field(&rest), u->hash, HASH_MAX);
    return u->iterations > 0 && u->salt_len > 0 && u->hash_len >= 16 && rest.len == 0;
}

static const tg_value *attributes_of(tg_arena *a, const user_spec *s)
{
    tg_value_builder acl = {.arena = a}, all = {.arena = a};
    tg_value *out = tg_arena_alloc(a, sizeof(*out));
    tg_build(&all, "user", tg_value_of_slice(s->user));
    if (s->publish != NULL)
        tg_build(&acl, "publish", *s->publish);
    if (s->subscribe != NULL)
        tg_build(&acl, "subscribe", *s->subscribe);
    if (acl.count > 0)
        tg_build(&all, "acl", tg_build_map(&acl));
    if (out != NULL)
        *out = tg_build_map(&all);
    return out;
}

/// A filter that no topic could match would shut its user out without a word.
static int check_filters(const tg_value *list, const tg_spot *user, const char *name,
                         tg_error *e)
{
    for (size_t i = 0; list != NULL && i < list->list.count; i++) {
        const tg_value *v = &list->list.items[i];
        tg_spot at = {user->file, v->line > 0 ? v->line : user->line, user->map,
                      tg_str(name)};
        if (v->kind != TG_STR)
            return tg_spot_error(&at, e, "a list of topic filters is wanted");
        if (!tg_filter_valid(v->string))
            return tg_spot_error(&at, e, "'%.*s' is no topic filter", (int)v->string.len,
                                 v->string.at);
    }
    return 0;
}

// LIST takes a single value for a list of one: it has to become one.
static const tg_value *as_list(tg_arena *a, const tg_value *v)
{
    if (v == NULL || v->kind == TG_LIST)
        return v;
    tg_value *list = tg_arena_alloc(a, sizeof(*list));
    if (list != NULL)
        *list = (tg_value){.kind = TG_LIST, .line = v->line, .list = {v, 1}};
    return list;
}

static int add_user(tg_users *u, const tg_value *v, size_t index, const char *file,
                    tg_error *e)
{
    char where[32];
    user_spec s = {0};
    tg_user *user = &u->at[u->count];
    snprintf(where, sizeof(where), "users[%zu]", index + 1);
    tg_spot at = {.file = file, .line = v->line, .map = where};
    int rc = tg_options_read(user_options, v, &s, file, where, e);
    if (rc < 0)
        return rc;
    s.publish = as_list(&u->arena, s.publish);
    s.subscribe = as_list(&u->arena, s.subscribe);
    if (check_filters(s.publish, &at, "publish", e) < 0 ||
        check_filters(s.subscribe, &at, "subscribe", e) < 0)
        return TG_E_INVAL;
    user->name = s.user;
    if (s.user.len == 0)
        return tg_spot_error(&at, e, "a user has a name");
    if (!take_password(user, s.password))
        return tg_spot_error(&at, e,
                             "a password's hash is written "
                             "pbkdf2$sha256$<iterations>$<salt>$<hash>");
    user->attributes = attributes_of(&u->arena, &s);
    if (u->arena.failed)
        return tg_error_set(e, TG_E_NOMEM, "out of memory");
    u->count++;
    rc = tg_map_add(&u->by_name, user->name, user);
    return rc == TG_E_EXISTS ? tg_spot_error(&at, e, "user '%.*s' is listed twice",
                                             (int)s.user.len, s.user.at)
                             : rc;
}

void tg_users_free(tg_users *u)
{
    if (u == NULL)
        return;
    tg_map_free(&u->by_name);
    tg_arena_free(&u->arena);
    tg_value_free(u->list);
    free(u);
}

int tg_users_new(const tg_value *list, const char *file, tg_users **out, tg_error *e)
{
    tg_users *u = calloc(1, sizeof(*u));
    size_t n = list != NULL && list->kind == TG_LIST ? list->list.count : 0;
    if (u == NULL)
        return tg_error_set(e, TG_E_NOMEM, "out of memory");
    u->at = tg_arena_alloc(&u->arena, (n + 1) * sizeof(tg_user));
    u->list = list != NULL ? tg_value_copy(list) : NULL;
    if (u->at == NULL || (list != NULL && u->list == NULL)) {
        tg_users_free(u);
        return tg_error_set(e, TG_E_NOMEM, "out of memory");
    }
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = add_user(u, &u->list->list.items[i], i, file, e);
    if (rc < 0) {
        tg_users_free(u);
        return rc;
    }
    *out = u;
    return 0;
}

int tg_users_check(const tg_value *list, const char *file, tg_error *e)
{
    tg_users *users = NULL;
    int rc = tg_users_new(list, file, &users, e);
    tg_users_free(users);
    return rc;
}

const tg_user *tg_users_find(const tg_users *u, tg_slice name)
{
    return tg_map_find(&u->by_name, name);
}

bool tg_user_slow(const tg_user *u)
{
    return u->iterations > 0;
}

static bool plain_equal(tg_slice a, tg_slice b)
{
    unsigned char x[32], y[32]; // equal lengths whatever the passwords' are
    unsigned n = 0;
    if (EVP_Digest(a.at, a.len, x, &n, EVP_sha256(), NULL) != 1 ||
        EVP_Digest(b.at, b.len, y, &n, EVP_sha256(), NULL) != 1)
        return false;
    return CRYPTO_memcmp(x, y, sizeof(x)) == 0;
}

bool tg_user_check(const tg_user *u, tg_slice password)
{
    unsigned char out[HASH_MAX];
    if (u->iterations == 0)
        return plain_equal(u->password, password);
    if (password.len > 4096 ||
        PKCS5_PBKDF2_HMAC(password.at != NULL ? password.at : "", (int)password.len,
                          u->salt, (int)u->salt_len, (int)u->iterations, EVP_sha256(),
                          (int)u->hash_len, out) != 1)
        return false;
    return CRYPTO_memcmp(out, u->hash, u->hash_len) == 0;
}

const tg_value *tg_user_attributes(const tg_user *u)
{
    return u->attributes;
}
