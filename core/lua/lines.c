// SPDX-License-Identifier: Apache-2.0
// A scan of the tokens beside the tree that the run has made: for each field of a
// constructor its member of the tree gets the line. What is computed is skipped up to the
// next comma on the same level. Guessing wrong costs a line number in a message, never
// more.
#include "lua/lines.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define DEPTH_MAX 24

typedef enum token {
    T_END,
    T_NAME,
    T_STRING,
    T_NUMBER,
    T_OTHER, ///< one character, in `symbol`
} token;

typedef struct scanner {
    const char *at, *end;
    uint32_t line;
    // The current token.
    token kind;
    char symbol;
    uint32_t token_line;
    tg_slice text; ///< of a name; of a string what stands between its quotes
} scanner;

/// Level of the long bracket that opens at `p`, or -1.
static int bracket_level(const char *p, const char *end)
{
    int level = 0;
    if (p >= end || *p != '[')
        return -1;
    for (p++; p < end && *p == '='; p++)
        level++;
    return p < end && *p == '[' ? level : -1;
}

static void skip_long(scanner *s, int level)
{
    s->at += level + 2;
    const char *from = s->at;
    while (s->at < s->end) {
        if (*s->at == '\n')
            s->line++;
        if (*s->at++ != ']')
            continue;
        const char *p = s->at;
        int n = 0;
        while (p < s->end && *p == '=' && n < level) {
            p++;
            n++;
        }
        if (n == level && p < s->end && *p == ']') {
            s->text = (tg_slice){from, (size_t)(s->at - 1 - from)};
            s->at = p + 1;
            return;
        }
    }
}

static void skip_space(scanner *s)
{
    while (s->at < s->end) {
        if (*s->at == '\n')
            s->line++;
        if (isspace((unsigned char)*s->at)) {
            s->at++;
        } else if (s->end - s->at >= 2 && s->at[0] == '-' && s->at[1] == '-') {
            s->at += 2;
            int level = bracket_level(s->at, s->end);
            if (level >= 0)
                skip_long(s, level);
            else
                while (s->at < s->end && *s->at != '\n')
                    s->at++;
        } else {
            return;
        }
    }
}

static void scan_string(scanner *s)
{
    char quote = *s->at++;
    const char *from = s->at;
    while (s->at < s->end && *s->at != quote) {
        if (*s->at == '\n')
            s->line++;
        s->at += *s->at == '\\' && s->at + 1 < s->end ? 2 : 1;
    }
    s->text = (tg_slice){from, (size_t)(s->at - from)};
    if (s->at < s->end)
        s->at++;
}

static bool in_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

static void next(scanner *s)
{
    skip_space(s);
    s->token_line = s->line;
    s->symbol = '\0';
    if (s->at >= s->end) {
        s->kind = T_END;
        return;
    }
    char c = *s->at;
    int level = bracket_level(s->at, s->end);
    if (level >= 0) {
        s->kind = T_STRING;
        skip_long(s, level);
    } else if (c == '"' || c == '\'') {
        s->kind = T_STRING;
        scan_string(s);
    } else if (in_word(c)) {
        const char *from = s->at;
        while (s->at < s->end &&
               (in_word(*s->at) || (isdigit((unsigned char)c) && *s->at == '.')))
            s->at++;
        s->kind = isdigit((unsigned char)c) ? T_NUMBER : T_NAME;
        s->text = (tg_slice){from, (size_t)(s->at - from)};
    } else {
        s->kind = T_OTHER;
        s->symbol = c;
        s->at++;
    }
}

static bool is_word(const scanner *s, const char *word)
{
    return s->kind == T_NAME && tg_slice_eq(s->text, tg_str(word));
}

/// Over an expression, up to the ',' ';' or '}' that ends its field.
static void skip_value(scanner *s)
{
    int depth = 0;
    while (s->kind != T_END) {
        char c = s->symbol;
        if (depth == 0 && (c == ',' || c == ';' || c == '}'))
            return;
        if (c == '(' || c == '{' || c == '[' || is_word(s, "function") ||
            is_word(s, "do") || is_word(s, "if") || is_word(s, "repeat"))
            depth++;
        else if (c == ')' || c == '}' || c == ']' || is_word(s, "end") ||
                 is_word(s, "until"))
            depth--;
        next(s);
    }
}

/// The tree is in the caller's arena; it was made a moment ago and nobody else has it.
static tg_value *writable(const tg_value *v)
{
    return (tg_value *)(uintptr_t)v;
}

static tg_value *member(tg_value *v, tg_slice key)
{
    for (size_t i = 0; v != NULL && v->kind == TG_MAP && i < v->map.count; i++)
        if (tg_slice_eq(v->map.pairs[i].key, key))
            return writable(&v->map.pairs[i].value);
    return NULL;
}

static tg_value *item(tg_value *v, size_t n)
{
    char text[24];
    if (v != NULL && v->kind == TG_LIST)
        return n >= 1 && n <= v->list.count ? writable(&v->list.items[n - 1]) : NULL;
    int len = snprintf(text, sizeof(text), "%zu", n);
    return member(v, (tg_slice){text, (size_t)len});
}

static void scan_table(scanner *s, tg_value *v, int depth);

/// The current token is the first of a value.
static void scan_value(scanner *s, tg_value *v, int depth)
{
    if (s->symbol == '{' && depth < DEPTH_MAX)
        scan_table(s, v, depth + 1);
    skip_value(s);
}

/// name = value | [string] = value | value
static void scan_field(scanner *s, tg_value *v, size_t *index, int depth)
{
    uint32_t line = s->token_line;
    scanner ahead = *s;
    tg_value *m = NULL;
    bool keyed = false;
    if (s->kind == T_NAME) {
        next(&ahead);
        keyed = ahead.symbol == '=' && ahead.at < ahead.end && *ahead.at != '=';
        m = keyed ? member(v, s->text) : NULL;
    } else if (s->symbol == '[') {
        next(&ahead);
        m = ahead.kind == T_STRING   ? member(v, ahead.text)
            : ahead.kind == T_NUMBER ? item(v, strtoul(ahead.text.at, NULL, 10))
                                     : NULL;
        while (ahead.kind != T_END && ahead.symbol != ']')
            next(&ahead);
        next(&ahead);
        keyed = true;
    }
    if (keyed) {
        *s = ahead;
        next(s);
    } else {
        m = item(v, ++*index);
    }
    if (m != NULL)
        m->line = line;
    scan_value(s, m, depth);
}

/// The current token is '{'; afterwards it is the one behind its '}'.
static void scan_table(scanner *s, tg_value *v, int depth)
{
    size_t index = 0;
    if (v != NULL && v->line == 0)
        v->line = s->token_line;
    next(s);
    while (s->kind != T_END && s->symbol != '}') {
        scan_field(s, v, &index, depth);
        if (s->symbol == ',' || s->symbol == ';')
            next(s);
    }
    next(s);
}

void tg_lines_set(tg_slice text, tg_value *v)
{
    scanner s = {.at = text.at, .end = text.at + text.len, .line = 1};
    scanner found = {0};
    // The last `return {` is the chunk's own; those of functions come before it.
    for (next(&s); s.kind != T_END;) {
        bool ret = is_word(&s, "return");
        next(&s);
        if (ret && s.symbol == '{')
            found = s;
    }
    if (found.at != NULL)
        scan_table(&found, v, 0);
}
