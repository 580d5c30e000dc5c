// SPDX-License-Identifier: Apache-2.0
// Adapters run offline: logins and their sessions, requests and answers, messages down,
// commands, and who waits for whom.
#include "rig.h"

#define GATE                                                                               \
    LINES "function M.on_message(conn, m)\n"                                               \
          "  if m.type == 'login' then\n"                                                  \
          "    local who, err = tg.auth.check { device = m.text }\n"                       \
          "    if not who then return conn:close('auth', err) end\n"                       \
          "    assert(conn:bind(m.text, { tenant = 't' }))\n"                              \
          "  elseif m.type == 'reply' then conn:answer('cmd', m.text)\n"                   \
          "  else conn:publish(m) end end\n"                                               \
          "function M.on_downlink(conn, m)\n"                                              \
          "  if m.payload == 'no' then return nil, 'not that' end\n"                       \
          "  if m.payload == 'bad' then error('broken') end\n"                             \
          "  local a, err = conn:request({ text = m.payload }, { key = 'cmd', timeout = "  \
          "'5s' })\n"                                                                      \
          "  conn:publish { topic = 'result', payload = a or err.code } end return M"

static void a_login_binds_and_a_refusal_closes(void **state)
{
    (void)state;
    stage s;
    stage_new(&s, GATE);
    s.spec.deny = "d2";
    int c = stage_connect(&s);
    stage_feed(&s, c, "login d1\npos x\n");
    assert_told(&s, "\"event\":\"bind\",\"conn\":1,\"device\":\"d1\",\"attributes\":\"{"
                    "\\\"tenant\\\":\\\"t\\\"}\"");
    assert_told(&s, "\"filter\":\"acme/d1/down\"");
    assert_told(&s, "\"topic\":\"acme/d1/pos\"");
    int d = tg_offline_connect(s.offline, NULL);
    stage_feed(&s, d, "login d2\n");
    assert_told(&s, "\"event\":\"close\",\"conn\":2,\"reason\":\"DENIED\",\"text\":"
                    "\"refused by the test\"");
    int e = tg_offline_connect(s.offline, NULL);
    stage_feed(
        &s, e,
        "login d1\n"); // the same device again takes it over, and the old link closes
    assert_told(&s, "\"event\":\"close\",\"conn\":1,\"reason\":\"TAKENOVER\"");
    stage_end(&s);
}

static void a_device_may_log_in_again_on_its_connection(void **state)
{
    (void)state;
    stage s;
    stage_new(&s, GATE);
    int c = stage_connect(&s);
    stage_feed(&s, c, "login d1\nlogin d1\npos x\n");
    assert_int_equal(stage_count(&s, "\"event\":\"bind\""), 2);
    assert_false(stage_told(&s, "\"event\":\"close\""));
    assert_told(&s, "\"topic\":\"acme/d1/pos\"");
    stage_end(&s);
}

static void a_request_waits_for_its_answer_while_others_pass(void **state)
{
    (void)state;
    stage s;
    stage_new(&s, GATE);
    int c = stage_connect(&s);
    stage_feed(&s, c, "login d1\n");
    assert_int_equal(tg_offline_deliver(s.offline, "d1", TG_LIT("t"), TG_LIT("do it"), 1),
                     0);
    assert_false(stage_told(&s, "\"ack\""));
    stage_feed(&s, c, "pos 1\nreply done\npos 2\n");
    assert_told(&s, "\"topic\":\"result\",\"payload\":\"done\"");
    assert_int_equal(stage_count(&s, "acme/d1/pos"), 2);
    assert_told(&s, "\"event\":\"ack\",\"conn\":1,\"packet_id\":1,\"how\":\"done\"");
    tg_offline_deliver(s.offline, "d1", TG_LIT("t"), TG_LIT("again"), 0);
    tg_offline_advance(s.offline, 5000);
    assert_told(&s, "\"payload\":\"TIMEOUT\"");
    tg_offline_deliver(s.offline, "d1", TG_LIT("t"), TG_LIT("third"), 1);
    tg_offline_hangup(s.offline, c);
    assert_told(&s, "\"payload\":\"CLOSED\"");
    stage_end(&s);
}

static void a_message_down_that_fails_is_refused(void **state)
{
    (void)state;
    stage s;
    stage_new(&s, GATE);
    int c = stage_connect(&s);
    stage_feed(&s, c, "login d1\n");
    tg_offline_deliver(s.offline, "d1", TG_LIT("t"), TG_LIT("no"), 1);
    assert_told(&s, "\"packet_id\":1,\"how\":\"refused\"");
    assert_told(&s, "\"text\":\"not that\"");
    tg_offline_deliver(s.offline, "d1", TG_LIT("t"), TG_LIT("bad"), 2);
    assert_told(&s, "\"packet_id\":2,\"how\":\"refused\"");
    assert_told(&s, "broken");
    stage_end(&s);
}

static void match_takes_a_message_as_the_answer(void **state)
{
    (void)state;
    stage s;
    stage_new(&s, LINES
              "function M.on_message(conn, m)\n"
              "  if m.type ~= 'ask' then return conn:publish { topic = 'other', payload = "
              "m.type } end\n"
              "  local a = conn:request('q\\n', { match = { type = 'ans', text = '7' } })\n"
              "  conn:publish { topic = 'got', payload = a.type .. a.text } end return M");
    int c = stage_connect(&s);
    stage_feed(&s, c, "ask\nans 6\nans 7\n");
    assert_told(&s, "\"topic\":\"other\",\"payload\":\"ans\"");
    assert_told(&s, "\"topic\":\"got\",\"payload\":\"ans7\"");
    assert_int_equal(stage_count(&s, "\"topic\":\"other\""), 1);
    stage_end(&s);
}

static void commands_run_from_json(void **state)
{
    (void)state;
    stage s;
    stage_new(&s, LINES "function M.on_message(conn, m) conn:bind(m.text) end\n"
                        "function M.commands.relay(conn, args)\n"
                        "  return conn:send { text = 'relay ' .. args.on } end return M");
    int c = stage_connect(&s);
    stage_feed(&s, c, "login d1\n");
    tg_offline_deliver(s.offline, "d1", TG_LIT("t"),
                       TG_LIT("{\"command\":\"relay\",\"args\":{\"on\":\"1\"}}"), 1);
    assert_told(&s, "\"hex\":\"72656c617920310a\"");
    assert_told(&s, "\"how\":\"done\"");
    stage_end(&s);
}

static void what_is_no_command_is_its_senders_mistake(void **state)
{
    (void)state;
    stage s;
    stage_new(&s, LINES
              "function M.on_message(conn, m) conn:bind(m.text) end\n"
              "function M.commands.relay(conn, args) return args.on.off end return M");
    int c = stage_connect(&s);
    stage_feed(&s, c, "login d1\n");
    static const struct {
        const char *json, *fate, *why;
    } all[] = {
        {"{\"command\":\"x\",\"id\":\"q1\"}",
         "\\\"command\\\":\\\"x\\\",\\\"correlation_id\\\":\\\"q1\\\"",
         "no such command 'x'"},
        {"{\"command\":\"relay\",\"args\":7}", "\\\"command\\\":\\\"relay\\\"",
         "'args' must be an object"},
        {"{\"command\":{}}", "\\\"command\\\":{}", "a message down must be"},
        {"[1", "\\\"error\\\":\\\"a message", "a message down must be"},
        {"7", "\\\"error\\\":\\\"a message", "a message down must be"},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        tg_buf_clear(&s.lines);
        tg_offline_deliver(s.offline, "d1", TG_LIT("t"), tg_str(all[i].json), 1);
        assert_told(&s, "\"topic\":\"acme/d1/command\"");
        assert_told(&s, "\\\"state\\\":\\\"refused\\\"");
        assert_told(&s, all[i].fate);
        assert_told(&s, all[i].why);
        assert_told(&s, "\"event\":\"complain\"");
        assert_told(&s, "\"how\":\"refused\"");
        assert_false(stage_told(&s, "\"level\":\"error\""));
    }
    tg_offline_deliver(s.offline, "d1", TG_LIT("t"), TG_LIT("{\"command\":\"relay\"}"), 1);
    assert_told(&s, "\"level\":\"error\""); // the script's own mistake is still one
    stage_end(&s);
}

static void devices_of_one_link_do_not_wait_for_each_other(void **state)
{
    (void)state;
    stage s;
    stage_new(
        &s,
        "local tg = require 'tidegate'\n"
        "local M = tg.adapter { id = 'a', api = 1, order = 'device', sessions = 'many',\n"
        "  frame = { kind = 'line' } }\n"
        "function M.decode(f) local d, n = f:match('(%a)(%d)')\n"
        "  return { type = 't', device = d, n = n, data = {} } end\n"
        "function M.on_message(conn, m) if m.n == '1' then tg.sleep('1s') end\n"
        "  conn:send(m.device .. m.n) end return M");
    int c = stage_connect(&s);
    stage_feed(&s, c, "a1\na2\nb2\n");
    assert_told(&s, "\"hex\":\"6232\"");
    assert_false(stage_told(&s, "\"hex\":\"6132\""));
    tg_offline_advance(s.offline, 1000);
    const char *one = strstr(s.lines.at, "\"hex\":\"6131\"");
    const char *two = strstr(s.lines.at, "\"hex\":\"6132\"");
    assert_true(one != NULL && two != NULL && one < two);
    stage_end(&s);
}

static void a_devices_lane_stays_while_its_handler_asks_the_device(void **state)
{
    (void)state;
    stage s;
    stage_new(
        &s,
        "local tg = require 'tidegate'\n"
        "local M = tg.adapter { id = 'a', api = 1, order = 'device', sessions = 'many',\n"
        "  frame = { kind = 'line' } }\n"
        "function M.decode(f) local d, n = f:match('(%a)(%d)')\n"
        "  return { type = 't', device = d, n = n, data = {} } end\n"
        "function M.on_message(conn, m)\n"
        "  if m.n == '1' then conn:request('q', { key = m.device }) conn:send('ok') end\n"
        "  if m.n == '2' then conn:answer('a') end end return M");
    int c = stage_connect(&s);
    stage_feed(&s, c, "a1\n");
    stage_feed(&s, c, "b3\n"); // lanes that nobody needs are given up now
    stage_feed(&s, c, "b2\n");
    assert_told(&s, "\"hex\":\"6f6b\"");
    stage_end(&s);
}

static void nothing_is_left_of_a_plugin(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        stage s;
        stage_new(&s, GATE);
        int c = stage_connect(&s);
        stage_feed(&s, c, "login d1\nlogin d2\n");
        tg_offline_deliver(s.offline, "d1", TG_LIT("t"), TG_LIT("waits"), 1);
        assert_int_equal(live_states(), 1);
        stage_end(&s);
        assert_int_equal(live_states(), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_login_binds_and_a_refusal_closes),
        cmocka_unit_test(a_device_may_log_in_again_on_its_connection),
        cmocka_unit_test(a_request_waits_for_its_answer_while_others_pass),
        cmocka_unit_test(a_message_down_that_fails_is_refused),
        cmocka_unit_test(match_takes_a_message_as_the_answer),
        cmocka_unit_test(commands_run_from_json),
        cmocka_unit_test(what_is_no_command_is_its_senders_mistake),
        cmocka_unit_test(devices_of_one_link_do_not_wait_for_each_other),
        cmocka_unit_test(a_devices_lane_stays_while_its_handler_asks_the_device),
        cmocka_unit_test(nothing_is_left_of_a_plugin),
    };
    return cmocka_run_group_tests(tests, rig_group_open, rig_group_close);
}
