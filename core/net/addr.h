// SPDX-License-Identifier: Apache-2.0
/// Addresses of sockets, of either family. Nobody outside this room includes it.
#ifndef TG_NET_ADDR_H
#define TG_NET_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>

#include "tidegate.h"

typedef union tg_addr {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} tg_addr;

/// "1.2.3.4:5", "[::1]:5", "*:5". @return 0, TG_E_INVAL.
int tg_addr_parse(tg_slice text, tg_addr *out, bool *both_families);
void tg_addr_text(const tg_addr *a, char *out, size_t len);
socklen_t tg_addr_len(const tg_addr *a);
void tg_addr_unmap(tg_addr *a); ///< an IPv4 peer of a socket for both families
void tg_addr_set_port(tg_addr *a, uint16_t port);
uint16_t tg_addr_port(const tg_addr *a);

#endif
