// SPDX-License-Identifier: Apache-2.0
/// What every load generator needs of the machine it runs on: sockets that do not block, as
/// many as the system gives, and what the kernel knows about a server's process.
#ifndef TG_LOAD_MACHINE_H
#define TG_LOAD_MACHINE_H

#include <sys/socket.h>

#include "base/error.h"

typedef struct tg_target {
    struct sockaddr_storage at;
    socklen_t len;
} tg_target;

/// Blocks while it resolves. @return 0, TG_E_RESOLVE.
int tg_target_find(const char *host, uint16_t port, tg_target *out, tg_error *e);
/// Starts to connect. Each 20,000 peers come from another address of loopback, because one has
/// not ports enough for more. @return a descriptor that does not block, or -errno.
int tg_target_dial(const tg_target *to, uint32_t index);
/// How connecting ended, once the descriptor is writable. @return 0 or an errno.
int tg_socket_error(int fd);
void tg_raise_descriptors(void); ///< as many as the system lets us have

uint64_t tg_process_cpu_ns(int pid); ///< of all its threads; 0: unknown
uint64_t tg_process_rss(int pid); ///< resident bytes; 0: unknown

#endif
