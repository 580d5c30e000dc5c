// SPDX-License-Identifier: Apache-2.0
// Numbers keep their decimals as digits: 0.1 must stay a tenth, not the nearest double. A
// comment is kept, too, because the one behind a field is its note in the reference.
#include "codec/layout_lex.h"

#include <ctype.h>

#define DIGITS_MAX 15

void tg_lexer_init(tg_lexer *x, tg_slice text)
{
    *x = (tg_lexer){.left = text, .line_start = text.at, .line = 1};
}

static void take(tg_lexer *x, size_t n)
{
    x->left.at += n;
    x->left.len -= n;
}

static int peek(const tg_lexer *x, size_t i)
{
    return i < x->left.len ? (unsigned char)x->left.at[i] : -1;
}

static tg_slice trimmed(const char *at, size_t len)
{
    while (len > 0 && isspace((unsigned char)at[0])) {
        at++;
        len--;
    }
    while (len > 0 && isspace((unsigned char)at[len - 1]))
        len--;
    return (tg_slice){at, len};
}

static void comment(tg_lexer *x)
{
    size_t n = 0;
    while (peek(x, n) >= 0 && peek(x, n) != '\n')
        n++;
    x->note = trimmed(x->left.at + 2, n - 2);
    x->note_line = x->line;
    take(x, n);
}

static void blanks(tg_lexer *x)
{
    for (;;) {
        int c = peek(x, 0);
        if (c == '\n') {
            take(x, 1);
            x->line++;
            x->line_start = x->left.at;
        } else if (c == ' ' || c == '\t' || c == '\r') {
            take(x, 1);
        } else if (c == '-' && peek(x, 1) == '-') {
            comment(x);
        } else {
            return;
        }
    }
}

static int fail(const tg_lexer *x, tg_error *e, const char *what)
{
    return tg_error_set(e, TG_E_INVAL, "line %u, column %u: %s", (unsigned)x->line,
                        (unsigned)(x->left.at - x->line_start + 1), what);
}

static bool add_digit(int64_t *n, int base, int digit)
{
    return !__builtin_mul_overflow(*n, base, n) && !__builtin_add_overflow(*n, digit, n);
}

static int hex_number(tg_lexer *x, tg_token *t, tg_error *e)
{
    size_t n = 2;
    uint64_t value = 0;
    for (; isxdigit(peek(x, n)); n++) {
        int c = tolower(peek(x, n));
        if (value >> 60)
            return fail(x, e, "a number of more than 64 bits");
        value = value << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    if (n == 2)
        return fail(x, e, "0x without digits");
    t->number = (int64_t)value;
    t->text = (tg_slice){x->left.at, n};
    take(x, n);
    return 0;
}

static int number(tg_lexer *x, tg_token *t, tg_error *e)
{
    t->kind = T_NUMBER;
    if (peek(x, 0) == '0' && peek(x, 1) == 'x')
        return hex_number(x, t, e);
    size_t n = 0;
    bool point = false;
    for (;; n++) {
        int c = peek(x, n);
        if (c == '.' && !point && isdigit(peek(x, n + 1)))
            point = true;
        else if (!isdigit(c))
            break;
        else if (!add_digit(&t->number, 10, c - '0') || (point && ++t->digits > DIGITS_MAX))
            return fail(x, e, "a number with too many digits");
    }
    t->text = (tg_slice){x->left.at, n};
    take(x, n);
    return 0;
}

static void name(tg_lexer *x, tg_token *t)
{
    size_t n = 0;
    while (isalnum(peek(x, n)) || peek(x, n) == '_')
        n++;
    t->kind = T_NAME;
    t->text = (tg_slice){x->left.at, n};
    take(x, n);
}

static int text(tg_lexer *x, tg_token *t, tg_error *e)
{
    size_t n = 1;
    while (peek(x, n) >= 0 && peek(x, n) != '"' && peek(x, n) != '\n')
        n++;
    if (peek(x, n) != '"')
        return fail(x, e, "a text without its closing quote");
    t->kind = T_TEXT;
    t->text = (tg_slice){x->left.at + 1, n - 1};
    take(x, n + 1);
    return 0;
}

static int sign(tg_lexer *x, tg_token *t, tg_error *e)
{
    static const char *const pairs[] = {"!=", "<=", ">=", "!&", ".."};
    int c = peek(x, 0), second = peek(x, 1);
    size_t n = 1;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        if (c == pairs[i][0] && second == pairs[i][1])
            n = 2;
    if (c == 0 || strchr(":?{}[]()*/+-~=!@,<>&.", c) == NULL || (c == '.' && n == 1))
        return fail(x, e, "a character that means nothing here");
    t->kind = c == '.' ? T_DOTS : T_SIGN;
    t->text = (tg_slice){x->left.at, n};
    take(x, n);
    return 0;
}

int tg_lexer_next(tg_lexer *x, tg_token *out, tg_error *e)
{
    blanks(x);
    *out =
        (tg_token){.line = x->line, .column = (uint32_t)(x->left.at - x->line_start + 1)};
    int c = peek(x, 0);
    if (c < 0)
        return 0;
    if (isdigit(c))
        return number(x, out, e);
    if (c == '"')
        return text(x, out, e);
    if (isalpha(c) || c == '_') {
        name(x, out);
        return 0;
    }
    return sign(x, out, e);
}
