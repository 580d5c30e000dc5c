// SPDX-License-Identifier: Apache-2.0
/// What the load generators beside `tidegate bench` share. Unlike it they end with a word at
/// the first thing that goes wrong.
#ifndef TG_BENCH_LOAD_H
#define TG_BENCH_LOAD_H

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "load/hist.h"
#include "load/machine.h"

_Noreturn TG_PRINTF(1, 2) static inline void die(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

/// Starts connecting to 127.0.0.1:port. @return a descriptor that does not block.
static inline int start_connect(uint16_t port, unsigned index)
{
    tg_target to;
    tg_error e;
    if (tg_target_find("127.0.0.1", port, &to, &e) < 0)
        die("%s", e.message);
    int fd = tg_target_dial(&to, index);
    if (fd < 0)
        die("connect to port %u: %s", port, strerror(-fd));
    return fd;
}

/// Sends what is in `b`. @return false when something is left: wait for EPOLLOUT.
static inline bool send_buf(int fd, tg_buf *b)
{
    while (b->len > 0) {
        ssize_t n = send(fd, b->at, b->len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return false;
        if (n < 0)
            die("send: %s", strerror(errno));
        tg_buf_drop(b, (size_t)n);
    }
    return true;
}

#endif
