// SPDX-License-Identifier: Apache-2.0
// One function per kind of item; each item decides how the rest of the pattern follows, so
// backtracking is plain recursion, bounded in depth. Runs of single characters without a
// choice are a loop.
#include "lua/pattern.h"

#include <ctype.h>
#include <lauxlib.h>
#include <string.h>

#include "lua/guard.h"

#define DEPTH_MAX 180
#define STEPS_BETWEEN_LOOKS 512u

static const char *match_rest(tg_pattern *m, const char *s, const char *p);

void tg_lua_check_killed(lua_State *L)
{
    tg_guard *g = tg_guard_here();
    if (g == NULL || !tg_guard_killed(g))
        return;
    tg_guard_note(L);
    luaL_error(L, "over its CPU budget");
}

static void step(tg_pattern *m)
{
    if (++m->steps % STEPS_BETWEEN_LOOKS == 0)
        tg_lua_check_killed(m->L);
}

void tg_pattern_init(tg_pattern *m, lua_State *L, tg_slice subject, tg_slice pattern)
{
    m->L = L;
    m->subject = subject.at;
    m->subject_end = subject.at + subject.len;
    m->pattern_end = pattern.at + pattern.len;
    m->steps = 0;
    m->depth = 0;
    m->ncaptures = 0;
}

/// Behind the set that opens at `p`, which is its '['.
static const char *set_end(tg_pattern *m, const char *p)
{
    p++;
    if (p < m->pattern_end && *p == '^')
        p++;
    bool first = true; // a ']' in the first place stands for itself
    while (p < m->pattern_end && (first || *p != ']')) {
        first = false;
        p += *p == '%' ? 2 : 1;
    }
    if (p >= m->pattern_end)
        luaL_error(m->L, "malformed pattern (missing ']')");
    return p + 1;
}

/// Behind the single-character item at `p`.
static const char *item_end(tg_pattern *m, const char *p)
{
    if (*p == '[')
        return set_end(m, p);
    if (*p != '%')
        return p + 1;
    if (p + 1 >= m->pattern_end)
        luaL_error(m->L, "malformed pattern (ends with '%%')");
    return p + 2;
}

static bool in_class(unsigned char c, unsigned char letter)
{
    bool yes;
    switch (tolower(letter)) {
    case 'a':
        yes = isalpha(c) != 0;
        break;
    case 'c':
        yes = iscntrl(c) != 0;
        break;
    case 'd':
        yes = isdigit(c) != 0;
        break;
    case 'g':
        yes = isgraph(c) != 0;
        break;
    case 'l':
        yes = islower(c) != 0;
        break;
    case 'p':
        yes = ispunct(c) != 0;
        break;
    case 's':
        yes = isspace(c) != 0;
        break;
    case 'u':
        yes = isupper(c) != 0;
        break;
    case 'w':
        yes = isalnum(c) != 0;
        break;
    case 'x':
        yes = isxdigit(c) != 0;
        break;
    case 'z': // from before patterns could hold a zero; old scripts have it
        yes = c == 0;
        break;
    default:
        return c == letter;
    }
    return isupper(letter) ? !yes : yes;
}

/// @param p the set's '[', `end` its ']'.
static bool in_set(unsigned char c, const char *p, const char *end)
{
    bool hit = true;
    if (*++p == '^') {
        hit = false;
        p++;
    }
    while (p < end) {
        if (*p == '%') {
            if (in_class(c, (unsigned char)p[1]))
                return hit;
            p += 2;
        } else if (p + 2 < end && p[1] == '-') {
            if ((unsigned char)p[0] <= c && c <= (unsigned char)p[2])
                return hit;
            p += 3;
        } else if ((unsigned char)*p++ == c) {
            return hit;
        }
    }
    return !hit;
}

/// Does the item from `p` to `end` take the character at `s`?
static bool takes(tg_pattern *m, const char *s, const char *p, const char *end)
{
    if (s >= m->subject_end)
        return false;
    step(m);
    unsigned char c = (unsigned char)*s;
    switch (*p) {
    case '.':
        return true;
    case '%':
        return in_class(c, (unsigned char)p[1]);
    case '[':
        return in_set(c, p, end - 1);
    default:
        return (unsigned char)*p == c;
    }
}

static const char *match_longest(tg_pattern *m, const char *s, const char *p,
                                 const char *end)
{
    const char *to = s;
    while (takes(m, to, p, end))
        to++;
    for (; to >= s; to--) {
        const char *found = match_rest(m, to, end + 1);
        if (found != NULL)
            return found;
    }
    return NULL;
}

static const char *match_shortest(tg_pattern *m, const char *s, const char *p,
                                  const char *end)
{
    for (;;) {
        const char *found = match_rest(m, s, end + 1);
        if (found != NULL)
            return found;
        if (!takes(m, s, p, end))
            return NULL;
        s++;
    }
}

static const char *open_capture(tg_pattern *m, const char *s, const char *p, ptrdiff_t kind)
{
    if (m->ncaptures >= TG_PATTERN_CAPTURES)
        luaL_error(m->L, "too many captures");
    m->captures[m->ncaptures].at = s;
    m->captures[m->ncaptures].len = kind;
    m->ncaptures++;
    const char *found = match_rest(m, s, p);
    if (found == NULL)
        m->ncaptures--;
    return found;
}

static const char *close_capture(tg_pattern *m, const char *s, const char *p)
{
    int i = m->ncaptures - 1;
    while (i >= 0 && m->captures[i].len != TG_CAPTURE_OPEN)
        i--;
    if (i < 0)
        luaL_error(m->L, "invalid pattern capture");
    m->captures[i].len = s - m->captures[i].at;
    const char *found = match_rest(m, s, p);
    if (found == NULL)
        m->captures[i].len = TG_CAPTURE_OPEN;
    return found;
}

/// %bxy: a balanced run. @return behind it.
static const char *balanced(tg_pattern *m, const char *s, const char *p)
{
    if (p + 1 >= m->pattern_end)
        luaL_error(m->L, "malformed pattern (missing arguments to '%%b')");
    if (s >= m->subject_end || *s != p[0])
        return NULL;
    size_t open = 1;
    for (s++; s < m->subject_end; s++) {
        step(m);
        if (*s == p[1] && --open == 0)
            return s + 1;
        if (*s == p[0] && p[0] != p[1])
            open++;
    }
    return NULL;
}

/// %f[set]: between a character outside the set and one inside.
static bool at_frontier(tg_pattern *m, const char *s, const char *set, const char *end)
{
    unsigned char before = s == m->subject ? 0 : (unsigned char)s[-1];
    unsigned char after = s == m->subject_end ? 0 : (unsigned char)*s;
    return !in_set(before, set, end - 1) && in_set(after, set, end - 1);
}

/// %1 … %9: what that capture took, again. @return behind it.
static const char *back_reference(tg_pattern *m, const char *s, char digit)
{
    int i = digit - '1';
    if (i < 0 || i >= m->ncaptures || m->captures[i].len == TG_CAPTURE_OPEN)
        luaL_error(m->L, "invalid capture index %%%d in pattern", i + 1);
    ptrdiff_t len = m->captures[i].len;
    if (len < 0 || m->subject_end - s < len ||
        memcmp(m->captures[i].at, s, (size_t)len) != 0)
        return NULL;
    return s + len;
}

/// An item of one character with what may follow it. `*next` is set when the pattern simply
/// goes on at `*next` with the returned place.
static const char *match_single(tg_pattern *m, const char *s, const char *p,
                                const char **next)
{
    const char *end = item_end(m, p);
    switch (end < m->pattern_end ? *end : '\0') {
    case '*':
        return match_longest(m, s, p, end);
    case '+':
        return takes(m, s, p, end) ? match_longest(m, s + 1, p, end) : NULL;
    case '-':
        return match_shortest(m, s, p, end);
    case '?': {
        const char *found = takes(m, s, p, end) ? match_rest(m, s + 1, end + 1) : NULL;
        if (found != NULL)
            return found;
        *next = end + 1;
        return s;
    }
    default:
        if (!takes(m, s, p, end))
            return NULL;
        *next = end;
        return s + 1;
    }
}

/// The items that begin with '%' and are no single character.
static const char *match_escape(tg_pattern *m, const char *s, const char *p,
                                const char **next)
{
    char c = p + 1 < m->pattern_end ? p[1] : '\0';
    if (c == 'b') {
        *next = p + 4;
        return balanced(m, s, p + 2);
    }
    if (c == 'f') {
        if (p + 2 >= m->pattern_end || p[2] != '[')
            luaL_error(m->L, "missing '[' after '%%f' in pattern");
        *next = set_end(m, p + 2);
        return at_frontier(m, s, p + 2, *next) ? s : NULL;
    }
    if (isdigit((unsigned char)c)) {
        *next = p + 2;
        return back_reference(m, s, c);
    }
    return match_single(m, s, p, next);
}

static const char *match_items(tg_pattern *m, const char *s, const char *p)
{
    while (p < m->pattern_end) {
        const char *next = NULL;
        const char *to;
        step(m);
        switch (*p) {
        case '(':
            if (p + 1 < m->pattern_end && p[1] == ')')
                return open_capture(m, s, p + 2, TG_CAPTURE_PLACE);
            return open_capture(m, s, p + 1, TG_CAPTURE_OPEN);
        case ')':
            return close_capture(m, s, p + 1);
        case '$':
            if (p + 1 == m->pattern_end)
                return s == m->subject_end ? s : NULL;
            to = match_single(m, s, p, &next);
            break;
        case '%':
            to = match_escape(m, s, p, &next);
            break;
        default:
            to = match_single(m, s, p, &next);
            break;
        }
        if (to == NULL || next == NULL)
            return to;
        s = to;
        p = next;
    }
    return s;
}

static const char *match_rest(tg_pattern *m, const char *s, const char *p)
{
    if (++m->depth > DEPTH_MAX)
        luaL_error(m->L, "pattern too complex");
    const char *to = match_items(m, s, p);
    m->depth--;
    return to;
}

const char *tg_pattern_at(tg_pattern *m, const char *at, const char *pattern)
{
    m->depth = 0;
    m->ncaptures = 0;
    return match_rest(m, at, pattern);
}

void tg_pattern_push(tg_pattern *m, int i, const char *from, const char *to)
{
    if (i >= m->ncaptures) {
        if (i != 0)
            luaL_error(m->L, "invalid capture index %%%d", i + 1);
        lua_pushlstring(m->L, from, (size_t)(to - from));
    } else if (m->captures[i].len == TG_CAPTURE_PLACE) {
        lua_pushinteger(m->L, m->captures[i].at - m->subject + 1);
    } else if (m->captures[i].len == TG_CAPTURE_OPEN) {
        luaL_error(m->L, "unfinished capture");
    } else {
        lua_pushlstring(m->L, m->captures[i].at, (size_t)m->captures[i].len);
    }
}

int tg_pattern_push_all(tg_pattern *m, const char *from, const char *to, bool whole)
{
    int n = m->ncaptures == 0 && whole ? 1 : m->ncaptures;
    luaL_checkstack(m->L, n, "too many captures");
    for (int i = 0; i < n; i++)
        tg_pattern_push(m, i, from, to);
    return n;
}
