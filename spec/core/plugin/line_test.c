// SPDX-License-Identifier: Apache-2.0
// Devices against the probe, through real sockets.
#include <pthread.h>

#include "host.h"

static host h;

static int up(void **state)
{
    (void)state;
    host_up(&h);
    return 0;
}

static int down(void **state)
{
    (void)state;
    host_down(&h);
    return 0;
}

static void a_line_is_answered_at_every_cut(void **state)
{
    (void)state;
    int fd = dial_to(h.address);
    const char *text = "echo a b\necho c\r\n";
    for (size_t cut = 1; cut < strlen(text); cut++) {
        type_bytes(fd, text, cut);
        usleep(1000); // the two halves arrive as two reads, or as one: both are right
        type_bytes(fd, text + cut, strlen(text) - cut);
        EXPECT(fd, "1.0.0 a b");
        EXPECT(fd, "1.0.0 c");
    }
    close(fd);
}

static void the_tables_of_the_runtime_work_for_a_plugin(void **state)
{
    (void)state;
    int fd = dial_to(h.address);
    type(fd, "timer x");
    EXPECT(fd, "ticked x");
    type(fd, "work");
    EXPECT(fd, "worked off 0");
    type(fd, "poll");
    EXPECT(fd, "polled 1");
    type(fd, "kv n");
    EXPECT(fd, "kv 1");
    int other = dial_to(h.address);
    type(other, "kv n");
    EXPECT(other, "kv 2");
    type(fd, "info");
    EXPECT(fd, "info main 1 1");
    type(fd, "idle");
    EXPECT(fd, "idle");
    close(other);
    type(fd, "bye");
    hung_up(fd);
}

static void a_dialed_connection_is_one_like_any_other(void **state)
{
    (void)state;
    int fd = dial_to(h.address);
    char text[64];
    snprintf(text, sizeof(text), "dial %s", strrchr(h.address, ':') + 1);
    type(fd, text);
    EXPECT(fd, "relayed 1.0.0 from afar");
    type(fd, "dial 1"); // nobody listens there: its on_close alone is called
    type(fd, "echo still here");
    EXPECT(fd, "1.0.0 still here");
    close(fd);
}

static void a_frame_stays_while_its_handler_dials(void **state)
{
    (void)state;
    char address[64], got[16];
    install("wrapped", installed(&h, "wrapped"));
    must_load(&h, "wrapped", NULL);
    must_listen(&h,
                "{\"name\": \"wrapped\", \"adapter\": \"wrapped\", \"bind\": "
                "\"127.0.0.1:0\", \"anonymous\": true}",
                address);
    int fd = dial_to(address);
    type_bytes(fd, "~a}\x02z~~y}\x01x~", 12);
    for (size_t have = 0; have < 6;) {
        ssize_t n = TEMP_FAILURE_RETRY(recv(fd, got + have, sizeof(got) - have, 0));
        assert_true(n > 0);
        have += (size_t)n;
    }
    assert_memory_equal(got, "a~zy}x", 6);
    close(fd);
}

static void a_pause_keeps_what_was_read(void **state)
{
    (void)state;
    int fd = dial_to(h.address);
    type(fd, "pause\necho 1\necho 2");
    EXPECT(fd, "paused");
    EXPECT(fd, "1.0.0 1");
    EXPECT(fd, "1.0.0 2");
    close(fd);
}

static void a_session_carries_messages_both_ways(void **state)
{
    (void)state;
    int a = dial_to(h.address), b = dial_to(h.address);
    type(a, "login one ann secret");
    EXPECT(a, "in one 0 0");
    type(b, "login two ok");
    EXPECT(b, "in two 0 0");
    type(a, "sub t/+");
    EXPECT(a, "sub 0");
    type(b, "pub t/1 hello you");
    EXPECT(b, "published 0 1");
    EXPECT(a, "msg t/1 hello you");
    type(b, "pub t/x/y nobody");
    EXPECT(b, "published 0 0");
    close(a);
    close(b);
}

static void a_session_is_taken_over_with_its_subscriptions(void **state)
{
    (void)state;
    int a = dial_to(h.address);
    type(a, "login one ok");
    EXPECT(a, "in one 0 0");
    type(a, "sub t");
    EXPECT(a, "sub 0");
    int b[4];
    for (int i = 0; i < 4; i++) { // on whichever worker
        b[i] = dial_to(h.address);
        type(b[i], "login one ok");
        EXPECT(b[i], "in one 0 1");
        EXPECT(i == 0 ? a : b[i - 1], "out -23");
        hung_up(i == 0 ? a : b[i - 1]);
    }
    type(b[3], "pub t x");
    const char *first = hear(b[3]);
    assert_true(strcmp(first, "msg t x") == 0 || strcmp(first, "published 0 1") == 0);
    assert_true(strlen(hear(b[3])) > 0);
    close(b[3]);
}

static void a_full_receiver_goes_on_where_it_stopped(void **state)
{
    (void)state;
    int a = dial_to(h.address), b = dial_to(h.address);
    type(a, "login one ok");
    EXPECT(a, "in one 0 0");
    type(a, "sub t\ntake");
    EXPECT(a, "sub 0");
    type(b, "login two ok");
    EXPECT(b, "in two 0 0");
    type(b, "pub t 1\npub t 2\npub t 3");
    for (int i = 0; i < 3; i++)
        EXPECT(b, "published 0 1");
    EXPECT(a, "msg t 1");
    type(a, "echo nothing else yet");
    EXPECT(a, "1.0.0 nothing else yet");
    type(a, "more");
    EXPECT(a, "msg t 2");
    EXPECT(a, "msg t 3");
    close(a);
    close(b);
}

static void a_verdict_decides_and_everything_else_refuses(void **state)
{
    (void)state;
    const struct {
        const char *login, *answer;
    } cases[] = {
        {"login c ann secret", "in c 0 0"},
        {"login c ann wrong", "denied 1 wrong password"},
        {"login c ok", "in c 0 1"},
        {"login c late", "in c 0 1"},
        {"login c no", "denied 1 refused"},
        {"login c stranger", "denied 1 no backend knows this client"},
        {"login c broken", "denied -14 authentication failed"},
        {"login c odd", "denied -4 authentication failed"},
        {"login c unable", "denied -1 authentication failed"},
        {"login c", "in c 0 1"}, // anonymous, as the listener says
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int fd = dial_to(h.address);
        type(fd, cases[i].login);
        EXPECT(fd, cases[i].answer);
        close(fd);
        UNTIL(&h, look(&h).connections == 0);
    }
}

static void a_listener_without_anonymous_asks_the_chain(void **state)
{
    (void)state;
    char address[64];
    must_listen(&h,
                "{\"name\": \"strict\", \"adapter\": \"probe\", \"bind\": \"127.0.0.1:0\"}",
                address);
    int fd = dial_to(address);
    type(fd, "login c");
    EXPECT(fd, "denied 1 no backend knows this client");
    type(fd, "info");
    EXPECT(fd, "info strict 0 1");
    close(fd);
}

static void garbage_costs_a_counter_and_too_much_the_connection(void **state)
{
    (void)state;
    char address[64], block[1500];
    must_listen(&h,
                "{\"name\": \"tight\", \"adapter\": \"probe\", \"bind\": \"127.0.0.1:0\", "
                "\"limits\": {\"frame\": 64, \"junk\": 1000}}",
                address);
    int fd = dial_to(address), innocent = dial_to(address);
    memset(block, 'x', sizeof(block));
    block[100] = '\n';
    type_bytes(fd, block, 101);
    block[100] = 'x';
    type(fd, "echo alive");
    EXPECT(fd, "1.0.0 alive");
    for (int i = 0; i < 3 && send(fd, block, sizeof(block), MSG_NOSIGNAL) > 0; i++)
        usleep(2000);
    hung_up(fd);
    type(innocent, "echo untouched");
    EXPECT(innocent, "1.0.0 untouched");
    close(innocent);
}

static int64_t happened(const char *listener, const char *event)
{
    char labels[100];
    snprintf(labels, sizeof(labels), "listener=\"%s\",event=\"%s\"", listener, event);
    int id = tg_metric_find("tidegate_listener_events_total", labels);
    return id >= 0 ? tg_metric_sum(id) : 0;
}

static void a_frame_that_stalls_is_given_up(void **state)
{
    (void)state;
    char address[64];
    must_listen(
        &h,
        "{\"name\": \"hasty\", \"adapter\": \"probe-hasty\", \"bind\": \"127.0.0.1:0\"}",
        address);
    int fd = dial_to(address);
    type_bytes(fd, "echo half", 9);
    UNTIL(&h, happened("hasty", "stalled") == 1);
    type(fd, "echo whole");
    EXPECT(fd, "1.0.0 whole");
    close(fd);
}

static void raw_bytes_are_kept_until_they_are_used(void **state)
{
    (void)state;
    char address[64];
    must_listen(
        &h, "{\"name\": \"raw\", \"adapter\": \"probe-raw\", \"bind\": \"127.0.0.1:0\"}",
        address);
    int fd = dial_to(address);
    type_bytes(fd, "ab", 2);
    usleep(2000);
    type_bytes(fd, "c\n.d", 4);
    EXPECT(fd, "abc");
    usleep(2000);
    type_bytes(fd, "e\n.", 3); // the rest comes again in front of it
    EXPECT(fd, ".de");
    close(fd);
}

static void a_command_that_fails_ends_its_connection_alone(void **state)
{
    (void)state;
    int fd = dial_to(h.address), other = dial_to(h.address);
    type(fd, "nonsense");
    hung_up(fd);
    type(other, "echo x");
    EXPECT(other, "1.0.0 x");
    assert_int_equal(look(&h).errors, 1);
    close(other);
}

static void a_plugin_opens_and_closes_listeners(void **state)
{
    (void)state;
    int fd = dial_to(h.address);
    type(fd, "listen extra");
    type(fd, "echo waiting");
    EXPECT(fd, "1.0.0 waiting");
    UNTIL(&h, speaks(fd));
    const char *answer = hear(fd);
    char address[64];
    assert_int_equal(sscanf(answer, "listening 0 %63s", address), 1);
    int through = dial_to(address);
    type(through, "info");
    EXPECT(through, "info extra 0 1");
    type(fd, "unlisten nothing");
    EXPECT(fd, "closed -6");
    type(fd, "unlisten extra");
    EXPECT(fd, "closed 0");
    type(through, "echo goes on");
    EXPECT(through, "1.0.0 goes on");
    close(through);
    close(fd);
}

static void a_backend_that_never_answers_is_a_refusal(void **state)
{
    (void)state;
    int fd = dial_to(h.address);
    type(fd, "login c never");
    EXPECT(fd, "denied -7 authentication failed");
    close(fd);
}

// A connection to a given worker: the kernel chooses, so as many as it takes.
static int dial_to_worker(const char *index)
{
    for (int i = 0; i < 200; i++) {
        int fd = dial_to(h.address);
        type(fd, "where");
        if (strcmp(hear(fd), index) == 0)
            return fd;
        close(fd);
    }
    fail_msg("no connection came to worker %s", index);
    return -1;
}

#define FLOOD 3000

static void *flood(void *arg)
{
    char text[900];
    int fd = *(int *)arg;
    for (int i = 0; i < FLOOD; i++) {
        int n = snprintf(text, sizeof(text), "pub t %d ", i);
        memset(text + n, 'x', sizeof(text) - (size_t)n);
        text[sizeof(text) - 1] = '\n';
        if (send(fd, text, sizeof(text), MSG_NOSIGNAL) < 0)
            break;
    }
    return NULL;
}

static void *read_answers(void *arg)
{
    char text[4096];
    while (TEMP_FAILURE_RETRY(recv(*(int *)arg, text, sizeof(text), 0)) > 0)
        ;
    return NULL;
}

static int64_t pauses(void)
{
    return metric("tidegate_publish_pauses_total");
}

// The receiving worker stands still until its publishers are held.
static void stand_still(void *ctx)
{
    for (uint64_t end = ms_now() + WAIT_MS; pauses() == *(int64_t *)ctx;) {
        assert_true(ms_now() < end);
        usleep(1000);
    }
}

// Its mailbox takes 64 KiB, the flood has 2.6 MB.
static void a_worker_that_cannot_keep_up_slows_its_publishers(void **state)
{
    (void)state;
    pthread_t writer, reader;
    int a = dial_to_worker("0"), b = dial_to_worker("1");
    int64_t before = pauses();
    type(a, "login one ok");
    EXPECT(a, "in one 0 0");
    type(a, "sub t");
    EXPECT(a, "sub 0");
    type(b, "login two ok");
    EXPECT(b, "in two 0 0");
    tg_worker_run(tg_workers_at(tg_runtime_workers(h.rt), 0), stand_still, &before);
    pthread_create(&writer, NULL, flood, &b);
    pthread_create(&reader, NULL, read_answers, &b);
    for (int i = 0; i < FLOOD; i++) {
        char want[32];
        snprintf(want, sizeof(want), "msg t %d x", i);
        const char *got = hear(a);
        if (strncmp(got, want, strlen(want)) != 0)
            fail_msg("message %d: %.30s", i, got);
    }
    pthread_join(writer, NULL);
    assert_true(pauses() > before);
    shutdown(b, SHUT_WR);
    pthread_join(reader, NULL);
    close(a);
    close(b);
}

static int small_up(void **state)
{
    (void)state;
    host_begin(&h);
    tg_runtime_config c = config_of(&h, 2);
    c.mailbox_bytes = 64 * 1024;
    host_start(&h, &c);
    must_load(&h, built("probe"), NULL);
    must_listen(&h,
                "{\"name\": \"main\", \"adapter\": \"probe\", \"bind\": \"127.0.0.1:0\"}",
                h.address);
    return 0;
}

static void stopping_tells_every_client(void **state)
{
    (void)state;
    int a = dial_to(h.address), b = dial_to(h.address);
    type(a, "login one ok");
    EXPECT(a, "in one 0 0");
    type(b, "echo x");
    EXPECT(b, "1.0.0 x");
    tg_runtime_stop(h.rt, 2000);
    EXPECT(a, "out -24");
    hung_up(a);
    hung_up(b);
}

static void an_adapter_explains_a_frame(void *ctx, const tg_field_note *note)
{
    snprintf(ctx, 64, "%.*s=%.*s", (int)note->name.len, note->name.at, (int)note->value.len,
             note->value.at);
}

static void frames_are_explained_by_their_adapter(void **state)
{
    (void)state;
    char text[64] = "";
    tg_error e = {0};
    assert_int_equal(tg_runtime_annotate(h.rt, "probe", TG_LIT("abc"),
                                         an_adapter_explains_a_frame, text, &e),
                     0);
    assert_string_equal(text, "line=abc");
    assert_int_equal(tg_runtime_annotate(h.rt, "probe-raw", TG_LIT("abc"),
                                         an_adapter_explains_a_frame, text, &e),
                     TG_E_UNSUPPORTED);
    assert_int_equal(tg_runtime_annotate(h.rt, "nothing", TG_LIT("abc"),
                                         an_adapter_explains_a_frame, text, &e),
                     TG_E_NOTFOUND);
}

#define T(name) cmocka_unit_test_setup_teardown(name, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_line_is_answered_at_every_cut),
        T(the_tables_of_the_runtime_work_for_a_plugin),
        T(a_dialed_connection_is_one_like_any_other),
        T(a_frame_stays_while_its_handler_dials),
        T(a_pause_keeps_what_was_read),
        T(a_session_carries_messages_both_ways),
        T(a_session_is_taken_over_with_its_subscriptions),
        T(a_full_receiver_goes_on_where_it_stopped),
        T(a_verdict_decides_and_everything_else_refuses),
        T(a_listener_without_anonymous_asks_the_chain),
        T(garbage_costs_a_counter_and_too_much_the_connection),
        T(a_frame_that_stalls_is_given_up),
        T(raw_bytes_are_kept_until_they_are_used),
        T(a_command_that_fails_ends_its_connection_alone),
        T(a_plugin_opens_and_closes_listeners),
        T(a_backend_that_never_answers_is_a_refusal),
        cmocka_unit_test_setup_teardown(a_worker_that_cannot_keep_up_slows_its_publishers,
                                        small_up, down),
        T(stopping_tells_every_client),
        T(frames_are_explained_by_their_adapter),
    };
    return RUN(tests);
}
