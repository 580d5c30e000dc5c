// SPDX-License-Identifier: Apache-2.0
/// A client's side of a test: bytes in, bytes out, on the fake host.
#ifndef MQTT_SPEC_TALK_H
#define MQTT_SPEC_TALK_H

#include "fake_host.h"

#include "../../support/check.h"
#include "wire.h"

#define CONNECT_311 "10 * <MQTT> 04 02 003c <id>"
#define CONNECT_5 "10 * <MQTT> 05 02 003c 00 <id>"

static inline fake_conn *conn_of(tg_conn c)
{
    return &fake.conns[c.id - 1];
}

static inline mqtt_conn *state_of(tg_conn c)
{
    return (mqtt_conn *)(void *)conn_of(c)->state;
}

/// All of it must be used.
static inline void feed(tg_conn c, const char *bytes)
{
    const wire w = hex(bytes);
    assert_int_equal(fake_bytes(c, w.at, w.len), w.len);
}

/// What was sent since the last look is `bytes`, no more and no less.
static inline void sent(tg_conn c, const char *bytes)
{
    fake_conn *f = conn_of(c);
    const wire w = hex(bytes);
    if (f->out_len != w.len || memcmp(f->out, w.at, w.len) != 0) {
        for (size_t i = 0; i < f->out_len; i++)
            print_error("%02x ", f->out[i]);
        fail_msg("was sent, not %s", bytes);
    }
    f->out_len = 0;
}

/// A packet of `type` was sent last, with `reason` after its first `skip` bytes.
static inline void sent_reason(tg_conn c, uint8_t first, size_t skip, uint8_t reason)
{
    fake_conn *f = conn_of(c);
    assert_true(f->out_len > skip);
    assert_int_equal(f->out[0], first);
    assert_int_equal(f->out[skip], reason);
    f->out_len = 0;
}

static inline void forget(tg_conn c)
{
    conn_of(c)->out_len = 0;
}

static inline void closed_with(tg_conn c, int reason)
{
    assert_true(conn_of(c)->closed);
    assert_int_equal(conn_of(c)->reason, reason);
    assert_int_equal(state_of(c)->state, MQTT_CLOSING);
}

/// DISCONNECT with `reason` left before the end.
static inline void dismissed(tg_conn c, uint8_t reason)
{
    sent_reason(c, 0xe0, 2, reason);
    closed_with(c, mqtt_reason_error(reason));
}

/// A connected client.
static inline tg_conn client(const char *connect)
{
    tg_conn c = fake_connect(NULL);
    feed(c, connect);
    assert_int_equal(state_of(c)->state, MQTT_CONNECTED);
    forget(c);
    return c;
}

static inline int start(void **state)
{
    (void)state;
    fake_start(NULL);
    return 0;
}

static inline int stop(void **state)
{
    (void)state;
    return fake_stop() == 0 ? 0 : -1; // nothing may be left behind
}

/// A map {key = value} for the adapter's options.
static inline tg_value map_of(const tg_pair *pairs, size_t n)
{
    return (tg_value){.kind = TG_MAP, .map = {pairs, n}};
}

#define INT_OPTION(name, n)                                                                \
    {                                                                                      \
        TG_LIT(name),                                                                      \
        {                                                                                  \
            .kind = TG_INT, .integer = (n)                                                 \
        }                                                                                  \
    }
#define BOOL_OPTION(name, b)                                                               \
    {                                                                                      \
        TG_LIT(name),                                                                      \
        {                                                                                  \
            .kind = TG_BOOL, .boolean = (b)                                                \
        }                                                                                  \
    }
#define STR_OPTION(name, s)                                                                \
    {                                                                                      \
        TG_LIT(name),                                                                      \
        {                                                                                  \
            .kind = TG_STR, .string = TG_LIT(s)                                            \
        }                                                                                  \
    }

#define TEST(function) cmocka_unit_test_setup_teardown(function, start, stop)

#endif
