// SPDX-License-Identifier: Apache-2.0
/// One MQTT connection. Its state lives in the bytes that the host carries for each connection;
/// what only some connections need hangs off it. All on the connection's worker.
#ifndef MQTT_CONN_H
#define MQTT_CONN_H

#include "adapter.h"
#include "encode.h"

#define MQTT_CONN_MAGIC 0x4d515454u

typedef enum mqtt_state {
    MQTT_EXPECT_CONNECT,
    MQTT_AUTHENTICATING, ///< the auth chain thinks
    MQTT_OPENING, ///< the session is being taken up
    MQTT_CONNECTED,
    MQTT_CLOSING, ///< good-bye was said; nothing is read any more
} mqtt_state;

enum { // mqtt_conn.flags
    MQTT_PAUSED = 1 << 0, ///< the host reads nothing for us
    MQTT_SESSION = 1 << 1, ///< `session` is bound
    MQTT_QUIET = 1 << 2, ///< request problem information is 0 (§3.1.2.11.7)
    MQTT_EXPIRY_ZERO = 1 << 3, ///< CONNECT asked for no session expiry (§3.14.2.2.2)
    MQTT_ACL = 1 << 4, ///< attributes say what the client may do
    MQTT_CROWDED = 1 << 5, ///< too much of what it sent waits for its answer
    MQTT_STUFFED = 1 << 6, ///< packets wait in the outbox
    MQTT_HELD = 1 << 7, ///< a retained message was refused until its SUBACK left
};

#define MQTT_REQUESTS_MAX 64 ///< SUBSCRIBEs and UNSUBSCRIBEs under way; then reading stops

/// What few connections need.
typedef struct mqtt_extra {
    tg_slice user; ///< owned; only where an ACL needs it
    struct mqtt_aliases *in; ///< topic aliases that the client set
    struct mqtt_aliases *out; ///< that we set
    uint16_t alias_out_max; ///< how many the client lets us set
    uint8_t *outbox; ///< packets that found the write queue full
    size_t outbox_len, outbox_cap;
} mqtt_extra;

typedef struct mqtt_conn {
    uint32_t magic;
    uint8_t version; ///< 0 before CONNECT
    uint8_t state; ///< mqtt_state
    uint8_t flags;
    uint8_t requests; ///< SUBSCRIBEs and UNSUBSCRIBEs without their answer
    tg_conn conn;
    tg_session session;
    mqtt_port *port;
    union {
        struct mqtt_connect *connect; ///< id_len 0: while authenticating and opening
        const char *id; ///< client identifier; the session's
    };
    mqtt_extra *extra; ///< NULL: none of it
    struct mqtt_ack *last; ///< acknowledgements by their publishes, a ring; NULL none
    uint32_t max_out; ///< largest packet that the client takes; 0: any
    uint16_t id_len;
    uint16_t in_flight; ///< QoS above 0 from the client, unanswered
    uint16_t waiting; ///< length of the ring at `last`
    uint16_t lists; ///< of `requests`: SUBSCRIBEs with several filters
} mqtt_conn;

static inline mqtt_conn *mqtt_check(void *state)
{
    mqtt_conn *m = (mqtt_conn *)state;
    assert(m != NULL && m->magic == MQTT_CONN_MAGIC);
    return m;
}

static inline bool mqtt_v5(const mqtt_conn *m)
{
    return m->version >= MQTT_V5;
}

static inline tg_slice mqtt_client_id(const mqtt_conn *m)
{
    return (tg_slice){m->id_len > 0 ? m->id : NULL, m->id_len};
}

static inline void mqtt_count(const mqtt_conn *m, mqtt_counter what)
{
    tg_count(m->port->counts.cells[what], 1);
}

/// @return NULL when out of memory.
mqtt_extra *mqtt_extra_get(mqtt_conn *m);
void mqtt_extra_free(mqtt_conn *m);

// The adapter's callbacks (adapter.c puts them into the table).
int mqtt_on_open(const tg_adapter *self, tg_conn c, void *state, const tg_value *options);
int64_t mqtt_on_data(tg_conn c, void *state, tg_slice data);
int mqtt_on_deliver(tg_conn c, void *state, tg_session s, const tg_delivery *d);
void mqtt_on_session_end(tg_conn c, void *state, tg_session s, int reason);
void mqtt_on_idle(tg_conn c, void *state);
void mqtt_on_writable(tg_conn c, void *state);
void mqtt_on_close(tg_conn c, void *state, int reason);

/// Explains packets to people (annotate.c).
int mqtt_annotate(const tg_adapter *self, tg_slice bytes,
                  void (*emit)(void *ctx, const tg_field_note *note), void *ctx);

// out.c: what leaves.

/// Queues a packet; one that finds the queue full is kept and reading stops until it left.
void mqtt_send(mqtt_conn *m, tg_slice packet);
/// PUBACK, PUBREC, PUBREL or PUBCOMP.
void mqtt_send_ack(mqtt_conn *m, uint8_t type, uint16_t packet_id, uint8_t reason);
/// Says why (MQTT 5), ends the session's binding and closes. @param why NULL: the reason's own
/// words. @return 0, for handlers that end with it.
int mqtt_fail(mqtt_conn *m, uint8_t reason, const char *why);
/// Unbinds and closes without a word.
void mqtt_end(mqtt_conn *m, unsigned session_flags, int error, const char *why);
/// Stops or goes on reading, by what waits for its answer.
void mqtt_set_crowded(mqtt_conn *m);
/// Goes on reading if nothing stands in the way any more. The last thing a callback does:
/// data may come before it returns.
void mqtt_read_on(mqtt_conn *m);
void mqtt_flush_outbox(mqtt_conn *m);

// Handlers of packets from a connected client.
void mqtt_on_publish(mqtt_conn *m, const mqtt_packet *p); // publish.c
/// @return false for a payload that says it is text and is not, where that is checked.
bool mqtt_format_right(const mqtt_conn *m, const mqtt_props *props, tg_slice payload);
void mqtt_on_pubrel(mqtt_conn *m, const mqtt_packet *p); // publish.c
void mqtt_on_ack(mqtt_conn *m, const mqtt_packet *p); // deliver.c
void mqtt_on_subscribe(mqtt_conn *m, const mqtt_packet *p); // subscribe.c
void mqtt_on_unsubscribe(mqtt_conn *m, const mqtt_packet *p); // subscribe.c

/// CONNECT, whole (connect.c).
void mqtt_on_connect(mqtt_conn *m, const mqtt_head *head, tg_slice bytes);
/// The connection goes while CONNECT is under way.
void mqtt_connect_drop(mqtt_conn *m);
/// The connection goes: acknowledgements that wait lose their way.
void mqtt_acks_drop(mqtt_conn *m);

/// @return whether the client may, by what auth said of it.
bool mqtt_may_publish(const mqtt_conn *m, tg_slice topic);
bool mqtt_may_subscribe(const mqtt_conn *m, tg_slice filter);

// alias.c: topic aliases (§3.3.2.3.4), tables made on first use.

/// Resolves or sets the alias of an incoming PUBLISH. @return 0 and the topic, or the reason.
uint8_t mqtt_alias_in(mqtt_conn *m, uint16_t alias, tg_slice *topic);
/// @return the alias for `topic`, 0 for none; `known` when the client has it already.
uint16_t mqtt_alias_out(mqtt_conn *m, tg_slice topic, bool *known);
/// Takes back the alias that was set last: the packet that was to tell of it did not leave.
void mqtt_alias_undo(mqtt_conn *m);
void mqtt_aliases_free(struct mqtt_aliases *a);

#endif
