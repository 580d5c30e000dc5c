// SPDX-License-Identifier: Apache-2.0
/// MQTT 5.0 §2.2.2: properties. One table says what each is made of and where it may stand.
#ifndef MQTT_PROPS_H
#define MQTT_PROPS_H

#include "wire.h"

typedef enum mqtt_prop {
    MQTT_P_PAYLOAD_FORMAT = 0x01,
    MQTT_P_MESSAGE_EXPIRY = 0x02,
    MQTT_P_CONTENT_TYPE = 0x03,
    MQTT_P_RESPONSE_TOPIC = 0x08,
    MQTT_P_CORRELATION = 0x09,
    MQTT_P_SUB_ID = 0x0B,
    MQTT_P_SESSION_EXPIRY = 0x11,
    MQTT_P_ASSIGNED_ID = 0x12,
    MQTT_P_SERVER_KEEPALIVE = 0x13,
    MQTT_P_AUTH_METHOD = 0x15,
    MQTT_P_AUTH_DATA = 0x16,
    MQTT_P_WANT_PROBLEM = 0x17,
    MQTT_P_WILL_DELAY = 0x18,
    MQTT_P_WANT_RESPONSE = 0x19,
    MQTT_P_RESPONSE_INFO = 0x1A,
    MQTT_P_SERVER_REFERENCE = 0x1C,
    MQTT_P_REASON = 0x1F,
    MQTT_P_RECEIVE_MAX = 0x21,
    MQTT_P_ALIAS_MAX = 0x22,
    MQTT_P_ALIAS = 0x23,
    MQTT_P_MAX_QOS = 0x24,
    MQTT_P_RETAIN_AVAILABLE = 0x25,
    MQTT_P_USER = 0x26,
    MQTT_P_MAX_PACKET = 0x27,
    MQTT_P_WILDCARD_AVAILABLE = 0x28,
    MQTT_P_SUB_IDS_AVAILABLE = 0x29,
    MQTT_P_SHARED_AVAILABLE = 0x2A,
    MQTT_P_COUNT,
} mqtt_prop;

/// The place of a will's properties, beside the packet types.
#define MQTT_IN_WILL 0

/// The properties of one packet. Only `seen` is set when there are none: a value may be read
/// where its bit is set. Repeated ones (user properties) are read from `raw`.
typedef struct mqtt_props {
    uint64_t seen; ///< one bit per identifier
    tg_slice raw; ///< as on the wire, without the length in front
    union {
        uint32_t number;
        tg_slice bytes;
    } at[MQTT_P_COUNT];
} mqtt_props;

#define MQTT_BIT(id) (UINT64_C(1) << (id))

static inline bool mqtt_has(const mqtt_props *p, mqtt_prop id)
{
    return (p->seen & MQTT_BIT(id)) != 0;
}

static inline uint32_t mqtt_number(const mqtt_props *p, mqtt_prop id, uint32_t otherwise)
{
    return mqtt_has(p, id) ? p->at[id].number : otherwise;
}

static inline tg_slice mqtt_bytes(const mqtt_props *p, mqtt_prop id)
{
    return mqtt_has(p, id) ? p->at[id].bytes : (tg_slice){0};
}

/// Reads length and properties. @param packet its type, or MQTT_IN_WILL.
void mqtt_props_get(mqtt_in *in, unsigned packet, mqtt_props *out);

/// What of `p` travels with the message (tg_message's `props`): all but expiry, alias,
/// subscription identifiers and will delay. Copies into `to`, of p->raw.len bytes, only when
/// something has to be left out. @return the properties, in `to` or in p->raw.
tg_slice mqtt_props_carried(const mqtt_props *p, char *to);
bool mqtt_props_all_carried(const mqtt_props *p); ///< nothing to leave out: no copy

/// The next property of `in` (made from a raw slice that was checked before), and its value as
/// on the wire.
bool mqtt_prop_next(mqtt_in *in, uint8_t *id, tg_slice *value);
const char *mqtt_prop_name(uint8_t id); ///< "content type"
/// A value of mqtt_prop_next() in words: cut to fit. @return its length.
size_t mqtt_prop_text(uint8_t id, tg_slice value, char *to, size_t room);

/// The next user property of `in` (made from a raw slice that was checked before).
bool mqtt_user_next(mqtt_in *in, tg_slice *name, tg_slice *value);

void mqtt_put_prop_u8(mqtt_out *out, mqtt_prop id, uint8_t n);
void mqtt_put_prop_u16(mqtt_out *out, mqtt_prop id, uint16_t n);
void mqtt_put_prop_u32(mqtt_out *out, mqtt_prop id, uint32_t n);
void mqtt_put_prop_text(mqtt_out *out, mqtt_prop id, tg_slice s);

#endif
