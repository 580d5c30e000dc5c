// SPDX-License-Identifier: Apache-2.0
// Who starts the host at a terminal wants to know where it listens and what to do next; who
// starts it from a program wants one line that can be read.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/json.h"
#include "host/cli.h"
#include "host/host.h"

void tg_host_notify(const char *text)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t size = path != NULL ? strlen(path) : 0;
    if (size == 0 || (*path != '/' && *path != '@') || size >= sizeof(to.sun_path))
        return;
    memcpy(to.sun_path, path, size);
    if (*path == '@')
        to.sun_path[0] = '\0';
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&to, len) < 0)
        tg_log(HOST, WARN, "cannot tell the service manager: %s", strerror(errno));
    close(fd);
}

static void put_member(tg_buf *b, const char *key, const char *text)
{
    tg_buf_printf(b, ",\"%s\":", key);
    tg_json_str(b, tg_str(text));
}

static void put_listener(void *ctx, const tg_listener_info *i)
{
    tg_buf *b = ctx;
    bool first = b->at[b->len - 1] == '[';
    tg_buf_puts(b, first ? "{\"name\":" : ",{\"name\":");
    tg_json_str(b, tg_str(i->name));
    put_member(b, "adapter", i->adapter);
    put_member(b, "address", i->address);
    put_member(b, "transport", i->transport);
    tg_buf_putc(b, '}');
}

static void greet_program(const tg_the_host *h)
{
    tg_buf b = {0};
    tg_buf_printf(&b, "{\"ready\":true,\"pid\":%ld", (long)getpid());
    put_member(&b, "version", TG_VERSION);
    if (h->admin != NULL) {
        put_member(&b, "admin", tg_admin_address(h->admin));
        put_member(&b, "token_file", h->token_file);
    }
    tg_buf_puts(&b, ",\"listeners\":[");
    tg_listeners_each(h->rt, put_listener, &b);
    tg_buf_puts(&b, "]}\n");
    fwrite(b.at, 1, b.len, stdout);
    tg_buf_free(&b);
}

static void print_listener(void *ctx, const tg_listener_info *i)
{
    (void)ctx;
    printf("  %-10s %-22s %s, adapter %s\n", i->name, i->address, i->transport, i->adapter);
}

static void find_mqtt(void *ctx, const tg_listener_info *i)
{
    const char **port = ctx;
    if (*port == NULL && strcmp(i->adapter, "mqtt") == 0 &&
        strcmp(i->transport, "tcp") == 0)
        *port = strrchr(i->address, ':') + 1;
}

static void greet_person(const tg_the_host *h)
{
    const char *port = NULL;
    printf("\nTidegate " TG_VERSION " is up.\n\n");
    tg_listeners_each(h->rt, print_listener, NULL);
    if (h->admin != NULL)
        printf("  %-10s http://%s/api/v1, token in %s\n", "admin",
               tg_admin_address(h->admin), h->token_file);
    puts("\nTry next, in another shell:");
    tg_listeners_each(h->rt, find_mqtt, &port);
    if (port != NULL)
        printf("  mosquitto_sub -p %s -t '#' -v\n", port);
    const char *me = program_invocation_name; // as typed, so that it can be typed again
    printf(
        "  %s subscribe '#'\n  %s clients\n  %s new adapter my-device\n\nCtrl-C ends it.\n",
        me, me, me);
}

void tg_host_greet(const tg_the_host *h)
{
    tg_log(HOST, INFO, "ready, version %s", TG_VERSION);
    if (isatty(STDOUT_FILENO))
        greet_person(h);
    else
        greet_program(h);
    fflush(stdout);
    tg_host_notify("READY=1");
}
