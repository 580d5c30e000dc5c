// SPDX-License-Identifier: Apache-2.0
/// A bug planted behind a good decode. Built with TG_PLANTED, a driver whose fuzzer really gets
/// through its decoder must crash here; one that never does fuzzes nothing.
#ifndef TG_FUZZ_PLANTED_H
#define TG_FUZZ_PLANTED_H

#include <stdlib.h>

#ifdef TG_PLANTED
#define PLANTED(condition)                                                                 \
    do {                                                                                   \
        if (condition)                                                                     \
            abort();                                                                       \
    } while (0)
#else
#define PLANTED(condition) ((void)(condition))
#endif

#endif
