// SPDX-License-Identifier: Apache-2.0
/// What the benches inside one process share: result lines, and the processor time of a
/// thread, which other programs on the machine do not stretch as they do the clock on the wall.
#ifndef TG_BENCH_INPROC_H
#define TG_BENCH_INPROC_H

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/error.h"

static inline double thread_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/// One line for bench/run.lua. @param target 0: nothing was promised.
static inline void result(const char *name, double value, const char *unit, double target,
                          const char *better)
{
    printf("{\"name\":\"%s\",\"value\":%.4f,\"unit\":\"%s\",\"better\":\"%s\"", name, value,
           unit, better);
    if (target > 0)
        printf(",\"target\":%.4f", target);
    puts("}");
    fflush(stdout);
}

_Noreturn static inline void fail(const char *what, const tg_error *e)
{
    fprintf(stderr, "%s: %s\n", what, e != NULL ? e->message : "failed");
    exit(1);
}

#endif
