// SPDX-License-Identifier: Apache-2.0
// SipHash-1-3: keys come from devices, and a table that many of them can make collide on
// purpose is a door to a standstill. The seed is drawn once and never leaves the process.
#include "base/map.h"

#include <stdatomic.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

static struct {
    uint64_t k0, k1;
} seed; // written by tg_hash_seed() alone, before threads start

static uint64_t mix(uint64_t x) // the finalizer of splitmix64
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

// Fills `out` from the kernel; before its pool is ready, from what differs between processes.
static void draw(uint64_t *out, size_t n)
{
    if (getrandom(out, n * sizeof(*out), GRND_NONBLOCK) == (ssize_t)(n * sizeof(*out)))
        return;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    uint64_t x = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
    x ^= (uint64_t)getpid() << 40 ^ (uint64_t)(uintptr_t)out;
    for (size_t i = 0; i < n; i++)
        out[i] = mix(x += UINT64_C(0x9e3779b97f4a7c15));
}

void tg_hash_seed(void)
{
    uint64_t k[2];
    draw(k, 2);
    seed.k0 = k[0];
    seed.k1 = k[1];
}

typedef struct sip {
    uint64_t v0, v1, v2, v3;
} sip;

static inline uint64_t rotl(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

static inline void sip_round(sip *s)
{
    s->v0 += s->v1;
    s->v2 += s->v3;
    s->v1 = rotl(s->v1, 13) ^ s->v0;
    s->v3 = rotl(s->v3, 16) ^ s->v2;
    s->v0 = rotl(s->v0, 32) + s->v3;
    s->v2 += s->v1;
    s->v1 = rotl(s->v1, 17) ^ s->v2;
    s->v3 = rotl(s->v3, 21) ^ s->v0;
    s->v2 = rotl(s->v2, 32);
}

static inline void sip_word(sip *s, uint64_t m)
{
    s->v3 ^= m;
    sip_round(s);
    s->v0 ^= m;
}

static inline uint64_t load64(const char *at, size_t n) // little-endian, n bytes of it
{
    uint64_t w = 0;
    memcpy(&w, at, n);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    w = __builtin_bswap64(w);
#endif
    return w;
}

uint64_t tg_hash(tg_slice bytes)
{
    sip s = {seed.k0 ^ UINT64_C(0x736f6d6570736575), seed.k1 ^ UINT64_C(0x646f72616e646f6d),
             seed.k0 ^ UINT64_C(0x6c7967656e657261),
             seed.k1 ^ UINT64_C(0x7465646279746573)};
    size_t at = 0;
    for (; bytes.len - at >= 8; at += 8)
        sip_word(&s, load64(bytes.at + at, 8));
    size_t rest = bytes.len - at;
    uint64_t last = rest == 0 ? 0 : load64(bytes.at + at, rest);
    sip_word(&s, last | (uint64_t)bytes.len << 56);
    s.v2 ^= 0xff;
    sip_round(&s);
    sip_round(&s);
    sip_round(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

uint64_t tg_random(void)
{
    static _Thread_local uint64_t state[2]; // own seed per thread: no lock, no shared line
    if (state[1] == 0) {
        draw(state, 2);
        state[1] |= 1; // an odd step walks all 2^64 states
    }
    return mix(state[0] += state[1]);
}
