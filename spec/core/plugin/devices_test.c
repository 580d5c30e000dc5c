// SPDX-License-Identifier: Apache-2.0
// Devices of a C adapter, and commands for them.
#include "host.h"
#include "plugin/devices.h"

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

typedef struct outcome {
    tg_command cmd;
    int started; // by the worker that has the device
    _Atomic int code; // 1: not yet
    char text[64];
} outcome;

static void on_done(void *ctx, int code, const tg_value *value)
{
    outcome *o = ctx;
    tg_slice text = TG_LIT("");
    if (value != NULL)
        text = value->kind == TG_STR ? value->string : tg_value_str(value, "message", text);
    snprintf(o->text, sizeof(o->text), "%.*s", (int)text.len, text.at);
    o->code = code;
}

static int try_here(tg_worker *w, void *ctx)
{
    (void)w;
    outcome *o = ctx;
    int rc = tg_device_command(h.rt, &o->cmd, on_done, o);
    if (rc != TG_E_CLOSED)
        o->started = rc;
    return 0;
}

static void command(outcome *o, const char *name, uint32_t ms)
{
    static const tg_pair what = {{"what", 4}, {.kind = TG_STR, .string = {"time", 4}}};
    static const tg_value args = {.kind = TG_MAP, .map = {&what, 1}};
    *o = (outcome){.started = TG_E_CLOSED, .code = 1};
    o->cmd = (tg_command){.size = sizeof(o->cmd),
                          .timeout_ms = ms,
                          .name = tg_str(name),
                          .device = TG_LIT("one"),
                          .id = TG_LIT("job"),
                          .args = &args};
    tg_workers_call(tg_runtime_workers(h.rt), try_here, o);
}

static int login(void)
{
    int fd = dial_to(h.address);
    type(fd, "login one ok");
    EXPECT(fd, "in one 0 0");
    return fd;
}

static void a_command_waits_for_its_device(void **state)
{
    (void)state;
    outcome o;
    int fd = login();
    command(&o, "ask", 10000);
    assert_int_equal(o.started, 0);
    EXPECT(fd, "asked time for job");
    type(fd, "answer noon");
    UNTIL(&h, o.code != 1);
    assert_int_equal(o.code, 0);
    assert_string_equal(o.text, "noon");
    close(fd);
}

static void a_command_is_refused_with_a_reason(void **state)
{
    (void)state;
    outcome o;
    int fd = login();
    command(&o, "deny", 10000);
    UNTIL(&h, o.code != 1);
    assert_int_equal(o.code, TG_E_DENIED);
    assert_string_equal(o.text, "no");
    command(&o, "fly", 10000);
    assert_int_equal(o.started, TG_E_NOTFOUND);
    assert_int_equal(o.code, 1); // a call that failed never completes
    close(fd);
}

static void a_command_waits_no_longer_than_its_caller(void **state)
{
    (void)state;
    outcome o;
    int fd = login();
    command(&o, "ask", 30);
    EXPECT(fd, "asked time for job");
    UNTIL(&h, o.code != 1);
    assert_int_equal(o.code, TG_E_TIMEOUT);
    type(fd, "answer late"); // and that ends nothing else: it is no fault to be late
    hung_up(fd);
}

static void nobody_is_asked_who_is_not_there(void **state)
{
    (void)state;
    outcome o;
    command(&o, "ask", 1000);
    assert_int_equal(o.started, TG_E_CLOSED);
}

static void a_stop_answers_for_what_was_asked(void **state)
{
    (void)state;
    outcome o;
    int fd = login();
    command(&o, "ask", 60000);
    EXPECT(fd, "asked time for job");
    tg_runtime_stop(h.rt, 2000);
    assert_true(o.code == TG_E_RELOADED || o.code == TG_E_SHUTDOWN);
    close(fd);
}

typedef struct list {
    int count;
    bool connected;
    char adapter[64], listener[64];
} list;

static void see_device(void *ctx, const tg_device *d)
{
    list *l = ctx;
    l->count++;
    l->connected = d->connected;
    snprintf(l->adapter, sizeof(l->adapter), "%.*s", (int)d->adapter.len, d->adapter.at);
    snprintf(l->listener, sizeof(l->listener), "%.*s", (int)d->listener.len,
             d->connected ? d->listener.at : "");
}

static int list_here(tg_worker *w, void *ctx)
{
    if (tg_worker_index(w) == 0) // one after the other: both write to the same list
        tg_devices_each(h.rt, see_device, ctx);
    return 0;
}

static int list_second(tg_worker *w, void *ctx)
{
    if (tg_worker_index(w) == 1)
        tg_devices_each(h.rt, see_device, ctx);
    return 0;
}

static list devices(void)
{
    list l = {0};
    tg_workers_call(tg_runtime_workers(h.rt), list_here, &l);
    tg_workers_call(tg_runtime_workers(h.rt), list_second, &l);
    return l;
}

static void devices_are_known_while_they_are_away(void **state)
{
    (void)state;
    assert_int_equal(devices().count, 0);
    int fd = login();
    list l = devices();
    assert_int_equal(l.count, 1);
    assert_true(l.connected);
    assert_string_equal(l.adapter, "probe");
    assert_string_equal(l.listener, "main");
    close(fd);
    UNTIL(&h, !devices().connected);
    l = devices();
    assert_int_equal(l.count, 1);
    assert_string_equal(l.adapter, "probe");
}

#define T(test) cmocka_unit_test_setup_teardown(test, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_command_waits_for_its_device),
        T(a_command_is_refused_with_a_reason),
        T(a_command_waits_no_longer_than_its_caller),
        T(nobody_is_asked_who_is_not_there),
        T(a_stop_answers_for_what_was_asked),
        T(devices_are_known_while_they_are_away),
    };
    return RUN(tests);
}
