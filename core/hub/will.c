// SPDX-License-Identifier: Apache-2.0
// Wills (MQTT 5.0 §3.1.2.5, §3.1.3.2.2): published when the connection is lost, or after a
// delay, but then at the latest with the session's end; a new connection in time prevents it.
#include "hub/internal.h"

void tg_will_drop(tg_sess *s)
{
    if (s->extra == NULL)
        return;
    if (s->extra->shard != NULL)
        tg_wheel_del(s->extra->shard->wheel, &s->extra->will_due);
    tg_msg_unref(s->extra->will);
    s->extra->will = NULL;
}

void tg_will_set(tg_sess *s, tg_msg will, uint32_t delay_s)
{
    tg_will_drop(s);
    if (will == NULL)
        return;
    tg_extra *x = tg_sess_extra(s);
    if (x == NULL) {
        tg_msg_unref(will);
        return;
    }
    x->will = will;
    x->will_delay = delay_s;
}

void tg_will_publish(tg_shard *sh, tg_sess *s)
{
    if (s->extra == NULL || s->extra->will == NULL)
        return;
    tg_msg will = tg_msg_ref(s->extra->will);
    tg_will_drop(s);
    tg_publish(sh, s, will, NULL, NULL);
    tg_msg_unref(will);
}

static void due(tg_alarm *a)
{
    tg_extra *x = TG_OWNER(a, tg_extra, will_due);
    tg_will_publish(x->shard, x->sess);
}

void tg_will_lost(tg_shard *sh, tg_sess *s)
{
    tg_extra *x = s->extra;
    if (x == NULL || x->will == NULL)
        return;
    if (x->will_delay == 0 || s->expiry_s == 0) {
        tg_will_publish(sh, s);
        return;
    }
    x->shard = sh;
    uint32_t delay = x->will_delay < s->expiry_s ? x->will_delay : s->expiry_s;
    tg_wheel_add(sh->wheel, &x->will_due, (uint64_t)delay * 1000, due);
}
