// SPDX-License-Identifier: Apache-2.0
// The API beside a runtime, at its end.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin/request.h"
#include "base/metric.h"

static int ask(const tg_admin *a, const char *token)
{
    char text[512];
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    to.sin_port = htons((uint16_t)atoi(strrchr(tg_admin_address(a), ':') + 1));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    int n = snprintf(text, sizeof(text),
                     "POST /api/v1/plugins/x/reload HTTP/1.1\r\nHost: localhost\r\n"
                     "Authorization: Bearer %s\r\nContent-Length: 0\r\n\r\n",
                     token);
    assert_int_equal(send(fd, text, (size_t)n, MSG_NOSIGNAL), n);
    return fd;
}

static bool ran;

static void note(void *request)
{
    ran = true;
    tg_reply_empty(request);
}

/// @return whether a request waits for the control thread; what it would run is replaced.
static bool waits(tg_admin *a)
{
    pthread_mutex_lock(&a->lock);
    bool any = !tg_list_empty(&a->pending);
    if (any)
        TG_OWNER(a->pending.next, tg_request, node)->run = note;
    pthread_mutex_unlock(&a->lock);
    return any;
}

// The control loop, which is not run here, has ended when the request comes.
static void what_comes_too_late_is_not_run(void **state)
{
    (void)state;
    char folder[] = "/tmp/tg-admin-test.XXXXXX", token_file[64];
    assert_non_null(mkdtemp(folder));
    snprintf(token_file, sizeof(token_file), "%s/token", folder);
    tg_error e = {0};
    tg_runtime *rt;
    tg_admin *a;
    tg_runtime_config c = {.workers = 1, .state_dir = folder};
    tg_admin_config ac = {.bind = TG_LIT("127.0.0.1:0"),
                          .token_file = token_file,
                          .body_max = 1024,
                          .connections = 4,
                          .stream_buffer = 4096,
                          .version = "0",
                          .state_dir = folder};
    assert_int_equal(tg_runtime_new(&c, &rt, &e), 0);
    assert_int_equal(tg_runtime_start(rt, &e), 0);
    assert_int_equal(tg_admin_start(rt, &ac, &a, &e), 0);
    int fd = ask(a, a->token);
    for (int i = 0; i < 60000 && !waits(a); i++)
        usleep(1000);
    assert_true(waits(a));
    tg_admin_stop(a);
    close(fd);
    tg_runtime_stop(rt, 1000);
    tg_runtime_free(rt);
    assert_false(ran);
    tg_admin_free(a);
    tg_metrics_close();
    unlink(token_file);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_comes_too_late_is_not_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
