// SPDX-License-Identifier: Apache-2.0
/// A world over the slow store, and clients whose every answer is committed.
#ifndef TG_SPEC_HUB_DURABLE_H
#define TG_SPEC_HUB_DURABLE_H

#include "slow_store.h"

static world w;
static UNUSED client a, b, p, q;

static UNUSED void start(const tg_hub_limits *limits)
{
    fail_with = 0;
    world_open_with(&w, 3, limits, &slow, op_new);
}

static UNUSED void open_durable(client *c, uint32_t worker, const char *id,
                                uint32_t expiry_s)
{
    client_init(c, &w, worker);
    tg_session_spec spec = spec_of(id, expiry_s, false);
    client_open_spec(c, &spec);
    settle_all(&w);
    assert_int_equal(c->opened, 0);
}

static UNUSED void sub(client *c, const char *filter, uint8_t qos)
{
    assert_int_equal(client_sub_with(c, filter, (tg_sub){.qos = qos}), 0);
    settle_all(&w);
    assert_int_equal(c->done, 0);
}

#endif
