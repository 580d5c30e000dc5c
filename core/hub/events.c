// SPDX-License-Identifier: Apache-2.0
// What operators may want to hear of at once: clients that come and go, what they subscribe,
// messages that a session did not get. Each is a message under $SYS/events/, made only when
// somebody subscribed to it, and always sent by mail: it may come from the middle of a delivery.
// A drop also leaves a line in the log. Whoever loses messages loses many, so both are bounded.
#include <stdio.h>

#include "base/json.h"
#include "base/log.h"
#include "hub/internal.h"

#define EVENTS_A_SECOND 100 // of drops, on one shard
#define LINES_A_MINUTE 5 // of one reason, on one shard

static void found(void *ctx, tg_leaf *l)
{
    (void)l;
    *(bool *)ctx = true;
}

static bool wanted(tg_shard *sh, tg_slice topic)
{
    bool any = false;
    tg_epoch_enter(sh->hub->epoch, sh->index);
    tg_trie_match(&sh->hub->router.trie, topic, found, &any);
    tg_epoch_leave(sh->hub->epoch, sh->index);
    return any;
}

static void put_name(tg_buf *b, const char *name)
{
    tg_buf_puts(b, b->len > 0 ? ",\"" : "{\"");
    tg_buf_puts(b, name);
    tg_buf_puts(b, "\":");
}

static void put_text(tg_buf *b, const char *name, tg_slice text)
{
    put_name(b, name);
    tg_json_str(b, text);
}

static void put_number(tg_buf *b, const char *name, int64_t n)
{
    put_name(b, name);
    tg_json_int(b, n);
}

static void begin(tg_buf *b, const tg_shard *sh, const tg_sess *s)
{
    put_number(b, "timestamp", (int64_t)tg_hub_now(sh->hub));
    put_number(b, "worker", sh->index);
    if (s == NULL)
        return;
    put_text(b, "client", tg_sess_id(s));
    tg_slice user = tg_who_user(s->who);
    if (user.len > 0)
        put_text(b, "user", user);
}

static void send(tg_shard *sh, tg_slice topic, tg_buf *b)
{
    tg_buf_putc(b, '}');
    if (!b->failed)
        tg_shard_status(sh, topic, tg_buf_slice(b), false);
    tg_buf_free(b);
}

void tg_event_connected(tg_shard *sh, const tg_sess *s)
{
    const tg_slice topic = TG_LIT(TG_EVENT_TOPICS "client_connected");
    tg_buf b = {0};
    if (!wanted(sh, topic))
        return;
    begin(&b, sh, s);
    put_number(&b, "expiry", s->expiry_s);
    put_number(&b, "subscriptions", s->nsubs);
    send(sh, topic, &b);
}

void tg_event_disconnected(tg_shard *sh, const tg_sess *s, int reason)
{
    const tg_slice topic = TG_LIT(TG_EVENT_TOPICS "client_disconnected");
    tg_buf b = {0};
    if (!wanted(sh, topic))
        return;
    begin(&b, sh, s);
    put_text(&b, "reason", reason == 0 ? TG_LIT("closed") : tg_str(tg_error_text(reason)));
    send(sh, topic, &b);
}

void tg_event_subscribed(tg_shard *sh, const tg_sess *s, tg_slice filter, int qos)
{
    const tg_slice topic = qos >= 0 ? TG_LIT(TG_EVENT_TOPICS "session_subscribed")
                                    : TG_LIT(TG_EVENT_TOPICS "session_unsubscribed");
    tg_buf b = {0};
    if (!wanted(sh, topic))
        return;
    begin(&b, sh, s);
    put_text(&b, "filter", filter);
    if (qos >= 0)
        put_number(&b, "qos", qos);
    send(sh, topic, &b);
}

// These are everyday: who is away asked for no more, and what ends takes its messages along.
static bool everyday(tg_drop why)
{
    return why == TG_DROP_EXPIRED || why == TG_DROP_OFFLINE || why == TG_DROP_SESSION_END;
}

static void log_drop(tg_shard *sh, const tg_sess *s, tg_msg m, tg_drop why)
{
    char client[256], topic[256];
    uint32_t held = 0;
    tg_level level = everyday(why) ? TG_LOG_DEBUG : TG_LOG_WARN;
    if (!tg_log_on(TG_MOD_HUB, level) ||
        !tg_log_gate_pass(&sh->drop_gates[why], tg_hub_now(sh->hub), LINES_A_MINUTE, &held))
        return;
    tg_slice id = s != NULL ? tg_sess_id(s) : (tg_slice){0};
    snprintf(client, sizeof(client), "%.*s", (int)id.len, id.at != NULL ? id.at : "");
    snprintf(topic, sizeof(topic), "%.*s", (int)m->topic.len, m->topic.at);
    tg_field fields[] = {TG_F("client", client), TG_F("topic", topic),
                         TG_F("reason", tg_drop_name(why)), TG_FN("held_back", held)};
    tg_log_write(TG_MOD_HUB, level, fields, held > 0 ? 4 : 3, "message dropped");
}

// @return false: too many in this second; the next event says how many were left out.
static bool in_time(tg_shard *sh)
{
    uint64_t second = tg_hub_now(sh->hub) / 1000;
    if (second != sh->drop_second) {
        sh->drop_second = second;
        sh->drop_events = 0;
    }
    if (sh->drop_events >= EVENTS_A_SECOND) {
        sh->drops_left_out++;
        return false;
    }
    sh->drop_events++;
    return true;
}

// What the host says of itself is not spoken of again, or one slow reader would talk for ever.
void tg_event_dropped(tg_shard *sh, const tg_sess *s, tg_msg m, uint8_t qos, tg_drop why)
{
    const tg_slice topic = TG_LIT(TG_EVENT_TOPICS "message_dropped");
    tg_buf b = {0};
    if ((m->flags & TG_MSG_STATUS) != 0)
        return;
    log_drop(sh, s, m, why);
    if (!wanted(sh, topic) || !in_time(sh))
        return;
    begin(&b, sh, s);
    put_text(&b, "topic", m->topic);
    put_text(&b, "publisher", m->publisher);
    put_number(&b, "qos", qos);
    put_text(&b, "reason", tg_str(tg_drop_name(why)));
    put_number(&b, "left_out", sh->drops_left_out);
    sh->drops_left_out = 0;
    send(sh, topic, &b);
}
