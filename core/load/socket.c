// SPDX-License-Identifier: Apache-2.0
// Sockets of many clients on one machine: a source address of loopback has 28,000 ports.
#include "load/machine.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

static bool answers(const struct addrinfo *at)
{
    int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool does = fd >= 0 && connect(fd, at->ai_addr, at->ai_addrlen) == 0;
    if (fd >= 0)
        close(fd);
    return does;
}

/// The first address of a name that answers: "localhost" may be ::1, where nobody listens.
static const struct addrinfo *choose(const struct addrinfo *list)
{
    if (list->ai_next != NULL)
        for (const struct addrinfo *at = list; at != NULL; at = at->ai_next)
            if (answers(at))
                return at;
    return list;
}

int tg_target_find(const char *host, uint16_t port, tg_target *out, tg_error *e)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    char text[8];
    snprintf(text, sizeof(text), "%u", port);
    int rc = getaddrinfo(host, text, &hints, &list);
    if (rc != 0)
        return tg_error_set(e, TG_E_RESOLVE, "--host: '%s': %s", host, gai_strerror(rc));
    const struct addrinfo *at = choose(list);
    memcpy(&out->at, at->ai_addr, at->ai_addrlen);
    out->len = at->ai_addrlen;
    freeaddrinfo(list);
    return 0;
}

static bool is_loopback(const tg_target *a)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&a->at;
    return a->at.ss_family == AF_INET && ntohl(v4->sin_addr.s_addr) >> 24 == 127;
}

static int bind_source(int fd, uint32_t index)
{
    int one = 1;
    struct sockaddr_in from = {.sin_family = AF_INET};
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + index / 20000);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
    return bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0 ? -errno : 0;
}

int tg_target_dial(const tg_target *to, uint32_t index)
{
    int rc = 0, one = 1;
    int fd = socket(to->at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (is_loopback(to))
        rc = bind_source(fd, index);
    if (rc == 0 && connect(fd, (const struct sockaddr *)&to->at, to->len) < 0 &&
        errno != EINPROGRESS)
        rc = -errno;
    if (rc == 0)
        return fd;
    close(fd);
    return rc;
}

int tg_socket_error(int fd)
{
    int error = 0;
    socklen_t len = sizeof(error);
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
    return error;
}

void tg_raise_descriptors(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
        r.rlim_cur = r.rlim_max;
        setrlimit(RLIMIT_NOFILE, &r);
    }
}
