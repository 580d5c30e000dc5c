// SPDX-License-Identifier: Apache-2.0
/// A histogram of times: 32 steps in each power of two, so 3 % wide at most, from 1 ns to
/// centuries, without a search and without memory that grows.
#ifndef TG_LOAD_HIST_H
#define TG_LOAD_HIST_H

#include <stdint.h>
#include <time.h>

enum { TG_HIST_STEPS = 32, TG_HIST_BUCKETS = 60 * TG_HIST_STEPS };

typedef struct tg_hist {
    uint64_t count, max;
    uint64_t at[TG_HIST_BUCKETS];
} tg_hist;

static inline uint64_t tg_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline unsigned tg_hist_bucket(uint64_t ns)
{
    if (ns < TG_HIST_STEPS)
        return (unsigned)ns;
    unsigned power = 63 - (unsigned)__builtin_clzll(ns); // >= 5
    return (power - 4) * TG_HIST_STEPS + (unsigned)(ns >> (power - 5)) % TG_HIST_STEPS;
}

static inline void tg_hist_add(tg_hist *h, uint64_t ns)
{
    h->count++;
    h->at[tg_hist_bucket(ns)]++;
    if (ns > h->max)
        h->max = ns;
}

static inline void tg_hist_merge(tg_hist *into, const tg_hist *h)
{
    for (unsigned i = 0; i < TG_HIST_BUCKETS; i++)
        into->at[i] += h->at[i];
    into->count += h->count;
    if (h->max > into->max)
        into->max = h->max;
}

/// @return the upper end, in µs, of the bucket in which the `share` of all lies.
static inline double tg_hist_us(const tg_hist *h, double share)
{
    uint64_t want = (uint64_t)((double)h->count * share), seen = 0;
    for (unsigned i = 0; i < TG_HIST_BUCKETS; i++) {
        seen += h->at[i];
        if (seen <= want)
            continue;
        unsigned power = i / TG_HIST_STEPS + 4;
        uint64_t ns = i < TG_HIST_STEPS
                          ? i
                          : (UINT64_C(1) << power) +
                                (((uint64_t)(i % TG_HIST_STEPS) + 1) << (power - 5));
        return (double)(ns < h->max ? ns : h->max) / 1e3;
    }
    return (double)h->max / 1e3;
}

#endif
