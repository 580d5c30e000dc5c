// SPDX-License-Identifier: Apache-2.0
// Socket addresses as people write them. Only literals: a listener's address must not
// depend on a name service.
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/addr.h"

static int parse_port(const char *text, uint16_t *port)
{
    char *end;
    if (*text < '0' || *text > '9')
        return TG_E_INVAL;
    unsigned long n = strtoul(text, &end, 10);
    if (*end != '\0' || n > UINT16_MAX)
        return TG_E_INVAL;
    *port = (uint16_t)n;
    return 0;
}

static int parse_host(const char *host, size_t len, tg_addr *a, bool *both)
{
    char text[INET6_ADDRSTRLEN + 2];
    bool bracketed = len > 2 && host[0] == '[' && host[len - 1] == ']';
    if (bracketed) {
        host++;
        len -= 2;
    }
    if (len == 0 || len >= sizeof(text))
        return TG_E_INVAL;
    memcpy(text, host, len);
    text[len] = '\0';
    *both = !bracketed && strcmp(text, "*") == 0;
    if (*both || bracketed) {
        a->v6.sin6_family = AF_INET6;
        return *both || inet_pton(AF_INET6, text, &a->v6.sin6_addr) == 1 ? 0 : TG_E_INVAL;
    }
    a->v4.sin_family = AF_INET;
    return inet_pton(AF_INET, text, &a->v4.sin_addr) == 1 ? 0 : TG_E_INVAL;
}

int tg_addr_parse(tg_slice text, tg_addr *out, bool *both_families)
{
    char copy[80];
    uint16_t port;
    if (text.len >= sizeof(copy))
        return TG_E_INVAL;
    memcpy(copy, text.at, text.len);
    copy[text.len] = '\0';
    const char *colon = strrchr(copy, ':');
    if (colon == NULL || strlen(copy) != text.len || parse_port(colon + 1, &port) != 0)
        return TG_E_INVAL;
    memset(out, 0, sizeof(*out));
    int rc = parse_host(copy, (size_t)(colon - copy), out, both_families);
    if (rc == 0)
        tg_addr_set_port(out, port);
    return rc;
}

void tg_addr_text(const tg_addr *a, char *out, size_t len)
{
    char host[INET6_ADDRSTRLEN] = "?";
    if (a->any.sa_family == AF_INET6)
        inet_ntop(AF_INET6, &a->v6.sin6_addr, host, sizeof(host));
    else if (a->any.sa_family == AF_INET)
        inet_ntop(AF_INET, &a->v4.sin_addr, host, sizeof(host));
    bool brackets = a->any.sa_family == AF_INET6;
    snprintf(out, len, "%s%s%s:%u", brackets ? "[" : "", host, brackets ? "]" : "",
             tg_addr_port(a));
}

socklen_t tg_addr_len(const tg_addr *a)
{
    return a->any.sa_family == AF_INET6 ? sizeof(a->v6) : sizeof(a->v4);
}

void tg_addr_unmap(tg_addr *a)
{
    if (a->any.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr))
        return;
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = a->v6.sin6_port};
    memcpy(&v4.sin_addr, &a->v6.sin6_addr.s6_addr[12], 4);
    memset(a, 0, sizeof(*a));
    a->v4 = v4;
}

void tg_addr_set_port(tg_addr *a, uint16_t port)
{
    if (a->any.sa_family == AF_INET6)
        a->v6.sin6_port = htons(port);
    else
        a->v4.sin_port = htons(port);
}

uint16_t tg_addr_port(const tg_addr *a)
{
    return ntohs(a->any.sa_family == AF_INET6 ? a->v6.sin6_port : a->v4.sin_port);
}
