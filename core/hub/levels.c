// SPDX-License-Identifier: Apache-2.0
// The one pass that a publish makes over its topic. Levels are short: nearly all are hashed by
// one multiplication, whose halves are mixed, of words that overlap instead of being padded.
#include "hub/levels.h"

#include "base/map.h"

#define STEP UINT64_C(0x9e3779b97f4a7c15) // odd: places differ in all bits

__extension__ typedef unsigned __int128 wide;

uint64_t tg_level_fold(uint64_t a, uint64_t b)
{
    wide p = (wide)a * b;
    return (uint64_t)p ^ (uint64_t)(p >> 64);
}

tg_level_key tg_level_key_new(void)
{
    return (tg_level_key){tg_hash(TG_LIT("level key a")), tg_hash(TG_LIT("level key b"))};
}

static uint64_t load8(const char *at)
{
    uint64_t w;
    memcpy(&w, at, sizeof(w));
    return w;
}

static uint64_t load4(const char *at)
{
    uint32_t w;
    memcpy(&w, at, sizeof(w));
    return w;
}

static uint64_t load_few(const char *at, size_t len)
{
    if (len == 0)
        return 0;
    return (uint64_t)(uint8_t)at[0] << 16 | (uint64_t)(uint8_t)at[len / 2] << 8 |
           (uint8_t)at[len - 1];
}

uint64_t tg_level_hash(const tg_level_key *k, const char *at, size_t len, uint32_t place)
{
    uint64_t h = k->b + place * STEP + len;
    for (; len > 16; at += 16, len -= 16)
        h = tg_level_fold(load8(at) ^ k->a, load8(at + 8) ^ h);
    if (len >= 8)
        return tg_level_fold(load8(at) ^ k->a, load8(at + len - 8) ^ h);
    if (len >= 4)
        return tg_level_fold(load4(at) ^ k->a, load4(at + len - 4) ^ h);
    return tg_level_fold(load_few(at, len) ^ k->a, h);
}

bool tg_levels_read(tg_levels *l, const tg_level_key *key, tg_slice text)
{
    l->text = text;
    l->sum[0] = 0;
    size_t from = 0;
    for (uint32_t n = 0; n < TG_LEVELS; n++) {
        const char *at = text.at + from, *slash = memchr(at, '/', text.len - from);
        size_t len = slash != NULL ? (size_t)(slash - at) : text.len - from;
        from += len;
        l->end[n] = (uint16_t)from++;
        l->hash[n] = tg_level_hash(key, at, len, n);
        l->sum[n + 1] = l->sum[n] + l->hash[n];
        l->n = n + 1;
        if (slash == NULL)
            return true;
    }
    return false;
}
