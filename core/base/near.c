// SPDX-License-Identifier: Apache-2.0
// Optimal string alignment: insert, delete, replace, or swap two neighbours, each costs one.
// A swap is the commonest slip of a keyboard. What is further off than a third of the word is
// another word, and suggesting it would mislead.
#include "base/near.h"

#include "base/options.h"

#define WORD_MAX 64

static unsigned least(unsigned a, unsigned b, unsigned c)
{
    unsigned ab = a < b ? a : b;
    return ab < c ? ab : c;
}

static char
folded(char c) // "maxConnections", "max-connections": case and dashes count nothing
{
    if (c >= 'A' && c <= 'Z')
        return (char)(c - 'A' + 'a');
    return c == '-' || c == '.' ? '_' : c;
}

static unsigned distance(tg_slice a, tg_slice b)
{
    unsigned rows[3][WORD_MAX + 1], *before = rows[0], *last = rows[1], *row = rows[2];
    for (unsigned j = 0; j <= b.len; j++)
        last[j] = j;
    for (unsigned i = 1; i <= a.len; i++) {
        row[0] = i;
        for (unsigned j = 1; j <= b.len; j++) {
            char x = folded(a.at[i - 1]), y = folded(b.at[j - 1]);
            row[j] = least(last[j] + 1, row[j - 1] + 1, last[j - 1] + (x != y));
            bool swap =
                i > 1 && j > 1 && x == folded(b.at[j - 2]) && y == folded(a.at[i - 2]);
            if (swap && before[j - 2] + 1 < row[j])
                row[j] = before[j - 2] + 1;
        }
        unsigned *spare = before;
        before = last;
        last = row;
        row = spare;
    }
    return last[b.len];
}

void tg_near_try(tg_near *n, const char *name)
{
    tg_slice other = tg_str(name);
    if (n->word.len == 0 || n->word.len > WORD_MAX || other.len == 0 ||
        other.len > WORD_MAX)
        return;
    size_t longer = n->word.len > other.len ? n->word.len : other.len;
    unsigned limit = longer < 3 ? 0 : longer < 6 ? 1 : (unsigned)longer / 3;
    unsigned d = distance(n->word, other);
    if (d > limit || (n->name != NULL && d >= n->distance))
        return;
    n->name = name;
    n->distance = d;
}

const char *tg_nearest(tg_slice word, const char *const *names, size_t n)
{
    tg_near near = {.word = word};
    for (size_t i = 0; i < n; i++)
        tg_near_try(&near, names[i]);
    return near.name;
}
