// SPDX-License-Identifier: Apache-2.0
// Topic filters of an access list, `${client_id}` and `${user}` replaced. A client chooses its
// own id: one with a wildcard or a '/' in it would widen a filter, so it matches none that
// names it.
#include "plugin/auth.h"
#include "plugin/version.h"

#define EXPANDED_MAX 1024

typedef struct who {
    tg_slice client_id, user;
} who;

typedef struct pattern {
    char at[EXPANDED_MAX];
    size_t len;
} pattern;

static bool harmless(tg_slice name)
{
    if (name.len == 0)
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (name.at[i] == '+' || name.at[i] == '#' || name.at[i] == '/')
            return false;
    return true;
}

static bool append(pattern *p, tg_slice bytes)
{
    if (bytes.len > sizeof(p->at) - p->len)
        return false;
    memcpy(p->at + p->len, bytes.at, bytes.len);
    p->len += bytes.len;
    return true;
}

static bool begins(tg_slice s, tg_slice front)
{
    return s.len >= front.len && memcmp(s.at, front.at, front.len) == 0;
}

/// @return false when it can match nothing for these names.
static bool expand(tg_slice from, const who *w, pattern *out)
{
    const struct {
        tg_slice mark, name;
    } marks[] = {{TG_LIT("${client_id}"), w->client_id}, {TG_LIT("${user}"), w->user}};
    out->len = 0;
    while (from.len > 0) {
        tg_slice piece = {from.at, 1};
        size_t used = 1;
        for (size_t i = 0; i < 2; i++)
            if (begins(from, marks[i].mark)) {
                if (!harmless(marks[i].name) ||
                    (out->len == 0 && marks[i].name.at[0] == '$'))
                    return false;
                piece = marks[i].name;
                used = marks[i].mark.len;
            }
        if (!append(out, piece))
            return false;
        from = (tg_slice){from.at + used, from.len - used};
    }
    return true;
}

static tg_slice level(tg_slice *rest)
{
    const char *slash = rest->len > 0 ? memchr(rest->at, '/', rest->len) : NULL;
    tg_slice l = {rest->at, slash != NULL ? (size_t)(slash - rest->at) : rest->len};
    size_t used = slash != NULL ? l.len + 1 : l.len;
    *rest =
        slash != NULL ? (tg_slice){rest->at + used, rest->len - used} : (tg_slice){NULL, 0};
    return l;
}

static bool is(tg_slice l, char c)
{
    return l.len == 1 && l.at[0] == c;
}

// Does `wide` match whatever `filter` can? A `$` topic is not under a leading wildcard
// (MQTT 5.0 §4.7.2), so a filter for one is not either.
static bool covers(tg_slice wide, tg_slice filter)
{
    if (filter.len > 0 && filter.at[0] == '$' && (wide.len == 0 || wide.at[0] != '$'))
        return false;
    bool more_wide = true, more_filter = true;
    while (more_wide && more_filter) {
        tg_slice w = level(&wide), f = level(&filter);
        if (is(w, '#'))
            return true;
        if (is(f, '#') || (is(f, '+') && !is(w, '+')))
            return false;
        if (!is(w, '+') && !tg_slice_eq(w, f))
            return false;
        more_wide = wide.at != NULL;
        more_filter = filter.at != NULL;
    }
    if (more_wide) // "a/#" also matches "a"
        return tg_slice_eq(wide, TG_LIT("#"));
    return !more_filter;
}

typedef bool match_fn(tg_slice pattern, tg_slice what);

static bool any(const tg_value *list, const who *w, tg_slice what, match_fn *match)
{
    if (list->kind != TG_LIST)
        return false;
    for (size_t i = 0; i < list->list.count; i++) {
        const tg_value *item = &list->list.items[i];
        pattern p;
        if (item->kind == TG_STR && expand(item->string, w, &p) &&
            match((tg_slice){p.at, p.len}, what))
            return true;
    }
    return false;
}

bool tg_acl_topic(const tg_value *list, tg_slice client_id, tg_slice user, tg_slice topic)
{
    who w = {client_id, user};
    return any(list, &w, topic, tg_topic_matches);
}

tg_slice tg_acl_unshared(tg_slice filter)
{
    if (!begins(filter, TG_LIT("$share/")))
        return filter;
    (void)level(&filter);
    (void)level(&filter);
    return filter;
}

bool tg_acl_filter(const tg_value *list, tg_slice client_id, tg_slice user, tg_slice filter)
{
    who w = {client_id, user};
    return any(list, &w, tg_acl_unshared(filter), covers);
}
