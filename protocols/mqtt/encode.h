// SPDX-License-Identifier: Apache-2.0
/// What the server sends, as bytes. Pure; sizes are known before anything is written.
#ifndef MQTT_ENCODE_H
#define MQTT_ENCODE_H

#include "packet.h"

/// A small packet on its way out: the longest of them is a CONNACK with a reason string.
#define MQTT_SMALL 1024
#define MQTT_REASON_TEXT 255 ///< longer reason strings and response information are cut

typedef struct mqtt_small {
    size_t len;
    uint8_t bytes[MQTT_SMALL];
} mqtt_small;

static inline tg_slice mqtt_small_slice(const mqtt_small *s)
{
    return (tg_slice){(const char *)s->bytes, s->len};
}

/// What CONNACK announces (MQTT 5.0 §3.2.2.3). Members at their default are not sent.
typedef struct mqtt_connack {
    uint8_t reason;
    bool present;
    bool expiry_set; ///< the session expiry differs from what the client asked for
    uint32_t session_expiry;
    uint32_t max_packet; ///< 0: no limit
    uint16_t receive_max; ///< 0 stands for 65,535
    uint16_t alias_max;
    uint8_t max_qos; ///< 2: not sent
    bool no_retain, no_wildcards, no_sub_ids, no_shared;
    bool keepalive_set;
    uint16_t keepalive;
    tg_slice assigned_id; ///< empty: not sent
    tg_slice response_info; ///< empty: not sent
    tg_slice text; ///< reason string; empty: not sent
} mqtt_connack;

void mqtt_encode_connack(uint8_t version, const mqtt_connack *c, mqtt_small *to);
/// PUBACK, PUBREC, PUBREL, PUBCOMP. Without a reason string: a client that asked for no
/// problem information must not get one (§3.1.2.11.7), and it would say what the code says.
void mqtt_encode_ack(uint8_t version, uint8_t type, uint16_t packet_id, uint8_t reason,
                     mqtt_small *to);
/// MQTT 5 only.
void mqtt_encode_disconnect(uint8_t reason, tg_slice text, mqtt_small *to);

/// @return bytes of a SUBACK or UNSUBACK with `n` codes.
size_t mqtt_codes_size(uint8_t version, uint8_t type, size_t n);
/// Writes all but the codes. @return where they go (MQTT 3's UNSUBACK has none).
uint8_t *mqtt_encode_codes(uint8_t version, uint8_t type, uint16_t packet_id, size_t n,
                           uint8_t *to);

/// A PUBLISH to a client.
typedef struct mqtt_publish {
    uint8_t version;
    uint8_t qos, retain, dup;
    uint16_t packet_id;
    uint16_t alias; ///< 0 none
    uint16_t nsub_ids;
    const uint32_t *sub_ids;
    uint32_t expiry_s; ///< 0 none
    tg_slice topic; ///< empty: the alias stands for it
    tg_slice props; ///< as tg_message has them
    size_t payload_len;

    // Set by mqtt_publish_measure().
    uint32_t props_len;
    uint32_t rest; ///< the remaining length
    size_t head; ///< bytes before the payload
    size_t id_at; ///< where the packet identifier stands, if there is one
} mqtt_publish;

/// @return bytes of the whole packet; 0 when no fixed header could announce it.
size_t mqtt_publish_measure(mqtt_publish *p);
/// Writes p->head bytes.
void mqtt_encode_publish(const mqtt_publish *p, uint8_t *to);

#endif
