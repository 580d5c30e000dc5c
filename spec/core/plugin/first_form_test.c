// SPDX-License-Identifier: Apache-2.0
// The ABI's promise: what was built for 1.0 loads and works in this host; what needs more than a
// host has is refused with the reason; and who asks for an addition gets it by its number.
#include "plugin/state.h"

#include "host.h"

static host h;

static int up(void **state)
{
    (void)state;
    host_begin(&h);
    tg_runtime_config c = config_of(&h, 2);
    host_start(&h, &c);
    install("first_form", installed(&h, "first-form"));
    must_load(&h, "first-form", "{\"word\": \"x\"}");
    must_listen(&h,
                "{\"name\": \"main\", \"adapter\": \"first\", \"bind\": \"127.0.0.1:0\", "
                "\"anonymous\": true}",
                h.address);
    return 0;
}

static int down(void **state)
{
    (void)state;
    host_down(&h);
    return 0;
}

static void its_frames_are_found_whatever_stands_in_their_padding(void **state)
{
    (void)state;
    int fd = dial_to(h.address);
    type_bytes(fd, "#\3abc>echo one\n#\2de", 19);
    EXPECT(fd, "bytes abc");
    EXPECT(fd, "echo one");
    EXPECT(fd, "bytes de");
    assert_int_equal(metric("tidegate_first_form_frames_seen"), 3);
    close(fd);
}

static void its_tables_work(void **state)
{
    (void)state;
    int fd = dial_to(h.address);
    type(fd, ">timer");
    EXPECT(fd, "ticked");
    type(fd, ">work");
    EXPECT(fd, "worked off 0");
    type(fd, ">next");
    EXPECT(fd, "next 1 4 1 2");
    type(fd, ">kv a");
    EXPECT(fd, "kv 1");
    close(fd);
}

static void its_sessions_exchange_messages(void **state)
{
    (void)state;
    int a = dial_to(h.address), b = dial_to(h.address);
    type(a, ">login one");
    EXPECT(a, "in one 0 0");
    type(b, ">login two");
    EXPECT(b, "in two 0 0");
    type(a, ">sub t/+");
    EXPECT(a, "sub 0");
    type(b, ">pub t/1 hello you");
    EXPECT(b, "published 0 1");
    EXPECT(a, "msg t/1 hello you");
    int again = dial_to(h.address);
    type(again, ">login one");
    EXPECT(again, "in one 0 1");
    close(a);
    close(b);
    close(again);
}

static const void *query(uint16_t major, uint16_t minor)
{
    return tg_host_table.query("metric", major, minor);
}

static void an_addition_is_asked_for_by_its_number(void **state)
{
    (void)state;
    assert_true(TG_ABI_MINOR >= 1);
    assert_non_null(query(TG_ABI_MAJOR, 0));
    assert_non_null(query(TG_ABI_MAJOR, TG_ABI_MINOR));
    assert_null(query(TG_ABI_MAJOR, TG_ABI_MINOR + 1));
    assert_null(query(TG_ABI_MAJOR + 1, 0));
}

static void what_needs_more_is_refused_with_the_reason(void **state)
{
    (void)state;
    tg_error e = {0};
    char want[80];
    snprintf(want, sizeof(want), "needs ABI %d.%d, this host has %d.%d", TG_ABI_MAJOR,
             TG_ABI_MINOR + 1, TG_ABI_MAJOR, TG_ABI_MINOR);
    install("abi_minor", installed(&h, "abi-minor"));
    assert_int_equal(
        tg_plugins_load(h.rt, "abi-minor", NULL, "etc/test.lua", "abi-minor", &e),
        TG_E_VERSION);
    if (strstr(e.message, want) == NULL)
        fail_msg("%s", e.message);
}

#define T(name) cmocka_unit_test_setup_teardown(name, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(its_frames_are_found_whatever_stands_in_their_padding),
        T(its_tables_work),
        T(its_sessions_exchange_messages),
        T(an_addition_is_asked_for_by_its_number),
        T(what_needs_more_is_refused_with_the_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
