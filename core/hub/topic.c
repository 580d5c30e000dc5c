// SPDX-License-Identifier: Apache-2.0
// What a topic and a filter may look like, and when one fits the other: one pass over the
// bytes each, nothing allocated, nothing recursive, however many levels a client sends.
#include "base/utf8.h"
#include "hub/hub.h"
#include "hub/topic.h"

#define TOPIC_MAX 65535

#define ONES UINT64_C(0x0101010101010101)
#define HIGHS (ONES << 7)

// Eight bytes of plain text at once: none is 0, none has its highest bit set.
static bool plain(const char *at)
{
    uint64_t x;
    memcpy(&x, at, sizeof(x));
    return ((x | (x - ONES)) & HIGHS) == 0;
}

// The highest bit of each byte that is `c`, and no other: they can be counted.
static uint64_t bytes_of(uint64_t x, char c)
{
    x ^= (uint8_t)c * ONES;
    return ~(((x & ~HIGHS) + ~HIGHS) | x) & HIGHS;
}

// A topic as nearly all are: ASCII without NUL and wildcards. What a publish must know of it,
// in one pass. @return its levels; 0: another topic.
static size_t plain_levels(tg_slice t)
{
    uint64_t odd = 0;
    size_t slashes = 0;
    for (size_t i = 0; i < t.len; i += 8) {
        uint64_t x = 'x' * ONES;
        if (t.len - i >= 8)
            memcpy(&x, t.at + i, 8);
        else
            memcpy(&x, t.at + i, t.len - i);
        odd |= (x & HIGHS) | bytes_of(x, '\0') | bytes_of(x, '+') | bytes_of(x, '#');
        slashes += (bytes_of(x, '/') >> 7) * ONES >> 56;
    }
    return odd == 0 ? slashes + 1 : 0;
}

// MQTT 5.0 §1.5.4: well-formed UTF-8 without U+0000.
static bool text_valid(tg_slice t)
{
    for (size_t i = 0; i < t.len;) {
        if (t.len - i >= 8 && plain(t.at + i)) {
            i += 8;
            continue;
        }
        size_t n = tg_utf8_len(t.at + i, t.len - i);
        if (n == 0 || t.at[i] == '\0')
            return false;
        i += n;
    }
    return true;
}

size_t tg_topic_measure(tg_slice t)
{
    size_t n = t.len > 0 && t.len <= TOPIC_MAX ? plain_levels(t) : 0;
    if (n > 0)
        return n;
    return tg_topic_valid(t) ? tg_topic_levels(t) : 0;
}

bool tg_topic_valid(tg_slice t)
{
    if (t.len == 0 || t.len > TOPIC_MAX || !text_valid(t))
        return false;
    return memchr(t.at, '+', t.len) == NULL && memchr(t.at, '#', t.len) == NULL;
}

// A wildcard fills its whole level, and '#' is the last one (MQTT 5.0 §4.7.1).
static bool wildcards_valid(tg_slice f)
{
    for (size_t i = 0; i < f.len; i++) {
        if (f.at[i] != '+' && f.at[i] != '#')
            continue;
        bool first = i == 0 || f.at[i - 1] == '/';
        bool last = i + 1 == f.len || (f.at[i] == '+' && f.at[i + 1] == '/');
        if (!first || !last)
            return false;
    }
    return true;
}

bool tg_topic_shared(tg_slice f, tg_slice *group, tg_slice *rest)
{
    const size_t n = sizeof("$share/") - 1;
    if (f.len < n || memcmp(f.at, "$share/", n) != 0)
        return false;
    const char *slash = memchr(f.at + n, '/', f.len - n);
    size_t name = slash != NULL ? (size_t)(slash - f.at) - n : f.len - n;
    *group = (tg_slice){f.at + n, name};
    size_t used = slash != NULL ? n + name + 1 : f.len;
    *rest = (tg_slice){f.at + used, f.len - used};
    return true;
}

bool tg_filter_valid(tg_slice f)
{
    tg_slice group, rest = f;
    if (f.len == 0 || f.len > TOPIC_MAX || !text_valid(f))
        return false;
    if (tg_topic_shared(f, &group, &rest)) {
        bool named = group.len > 0 && memchr(group.at, '+', group.len) == NULL &&
                     memchr(group.at, '#', group.len) == NULL;
        if (!named || rest.len == 0)
            return false;
    }
    return wildcards_valid(rest);
}

size_t tg_topic_levels(tg_slice t)
{
    size_t n = 1;
    for (const char *p = t.at, *end = t.at + t.len; p < end; p++, n++) {
        p = memchr(p, '/', (size_t)(end - p));
        if (p == NULL)
            break;
    }
    return n;
}

bool tg_topic_matches(tg_slice f, tg_slice t)
{
    size_t i = 0, j = 0;
    if (t.len > 0 && t.at[0] == '$' && f.len > 0 && (f.at[0] == '+' || f.at[0] == '#'))
        return false; // MQTT 5.0 §4.7.2
    while (i < f.len) {
        if (f.at[i] == '#')
            return true;
        if (f.at[i] == '+') {
            while (j < t.len && t.at[j] != '/')
                j++;
            i++;
        } else if (j < t.len && f.at[i] == t.at[j]) {
            i++, j++;
        } else {
            return j == t.len && f.len - i == 2 && f.at[i] == '/' && f.at[i + 1] == '#';
        }
    }
    return j == t.len;
}
