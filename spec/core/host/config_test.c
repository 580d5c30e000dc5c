// SPDX-License-Identifier: Apache-2.0
#include "host/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../../support/check.h"

/// Reads `text` as a config file.
static int read_text(const char *text, tg_config *out, tg_error *e)
{
    static char path[64];
    strcpy(path, "/tmp/tidegate-config-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    *e = (tg_error){0};
    int rc = tg_config_read(path, out, e);
    unlink(path);
    return rc;
}

static void the_built_in_config_is_good(void **state)
{
    (void)state;
    tg_config c;
    tg_config_plugin p;
    assert_int_equal(tg_config_read(NULL, &c, NULL), 0);
    assert_int_equal(c.listeners->list.count, 2);
    assert_true(tg_config_plugin_at(&c, 0, &p));
    assert_string_equal(p.name, "mqtt");
    assert_false(tg_config_plugin_at(&c, 2, &p));
    assert_int_equal(c.shutdown_ms, 10000);
    assert_true(c.admin.enabled);
    for (size_t i = 0; i < 2; i++)
        assert_false(tg_config_is_open(&c.listeners->list.items[i]));
    tg_config_free(&c);
}

static void the_config_that_comes_along_says_the_defaults(void **state)
{
    (void)state;
    tg_config with, without;
    assert_int_equal(tg_config_read("etc/tidegate.lua", &with, NULL), 0);
    assert_int_equal(tg_config_read(NULL, &without, NULL), 0);
    assert_memory_equal(&with.limits, &without.limits, sizeof(with.limits));
    assert_int_equal(with.workers, without.workers);
    assert_int_equal(with.shutdown_ms, without.shutdown_ms);
    assert_int_equal(with.log.level, without.log.level);
    assert_int_equal(with.log.format, without.log.format);
    assert_true(tg_slice_eq(with.admin.bind, without.admin.bind));
    assert_int_equal(with.admin.body_max, without.admin.body_max);
    assert_int_equal(with.admin.connections, without.admin.connections);
    assert_int_equal(with.admin.stream_buffer, without.admin.stream_buffer);
    tg_config_free(&with);
    tg_config_free(&without);
}

static void plugins_come_as_a_map_or_as_a_list(void **state)
{
    (void)state;
    tg_config c;
    tg_error e;
    tg_config_plugin p;
    assert_int_equal(
        read_text("return { plugins = { 'mqtt', { name = '/srv/acme', options = { "
                  "a = 1 } } } }",
                  &c, &e),
        0);
    assert_true(tg_config_plugin_at(&c, 0, &p));
    assert_string_equal(p.name, "mqtt");
    assert_null(p.options);
    assert_true(tg_config_plugin_at(&c, 1, &p));
    assert_string_equal(p.name, "/srv/acme");
    assert_int_equal(tg_value_int(p.options, "a", 0), 1);
    assert_string_equal(p.where, "plugins[2].options");
    tg_config_free(&c);
    assert_int_equal(read_text("return { plugins = { gt06 = { a = 2 } } }", &c, &e), 0);
    assert_true(tg_config_plugin_at(&c, 0, &p));
    assert_string_equal(p.where, "plugins.gt06");
    assert_int_equal(tg_value_int(p.options, "a", 0), 2);
    tg_config_free(&c);
}

static void one_value_stands_for_a_list_of_it(void **state)
{
    (void)state;
    tg_config c;
    tg_error e;
    assert_int_equal(read_text("return { auth = 'users', admin = { hosts = 'a.example' }, "
                               "users = {} }",
                               &c, &e),
                     0);
    assert_int_equal(c.auth->kind, TG_LIST);
    assert_int_equal(c.auth->list.count, 1);
    assert_int_equal(c.admin.hosts->list.count, 1);
    assert_int_equal(c.users->list.count, 0);
    tg_config_free(&c);
    assert_int_equal(read_text("return {}", &c, &e), 0);
    assert_null(c.auth); // the users alone; an empty list would refuse everybody
    tg_config_free(&c);
}

static void a_listener_is_open_when_strangers_reach_it(void **state)
{
    (void)state;
    static const struct {
        const char *bind;
        bool open;
    } cases[] = {{"127.0.0.1:1", false}, {"[::1]:1", false},  {"127.8.8.8:1", false},
                 {"*:1", true},          {"0.0.0.0:1", true}, {"[::]:1", true}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tg_pair pairs[] = {{TG_LIT("bind"), tg_value_of_str(cases[i].bind)},
                           {TG_LIT("anonymous"), tg_value_of_bool(true)}};
        tg_value listener = {.kind = TG_MAP};
        listener.map.pairs = pairs;
        listener.map.count = 2;
        assert_int_equal(tg_config_is_open(&listener), cases[i].open);
        listener.map.count = 1;
        assert_false(tg_config_is_open(&listener));
    }
}

static void limits_reach_the_hub_in_its_units(void **state)
{
    (void)state;
    tg_config c;
    tg_error e;
    assert_int_equal(read_text("return { limits = { queue_age = '1500ms', session_expiry = "
                               "'1d', queue_bytes = '2MiB', share = 'sticky', queue_qos0 = "
                               "true } }",
                               &c, &e),
                     0);
    tg_hub_limits l = tg_config_hub_limits(&c);
    assert_int_equal(l.queue_age_s, 2);
    assert_int_equal(l.expiry_max_s, 86400);
    assert_int_equal(l.queue_bytes, 2 << 20);
    assert_int_equal(l.share, TG_SHARE_STICKY);
    assert_true(l.queue_qos0);
    tg_config_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_built_in_config_is_good),
        cmocka_unit_test(the_config_that_comes_along_says_the_defaults),
        cmocka_unit_test(plugins_come_as_a_map_or_as_a_list),
        cmocka_unit_test(one_value_stands_for_a_list_of_it),
        cmocka_unit_test(a_listener_is_open_when_strangers_reach_it),
        cmocka_unit_test(limits_reach_the_hub_in_its_units),
    };
    return RUN(tests);
}
