// SPDX-License-Identifier: Apache-2.0
/// Packets of MQTT 3.1, 3.1.1 and 5.0 as structs of slices into the bytes that were parsed.
/// Pure: no memory, no connection. Both directions, so that what the encoder writes can be
/// read back.
#ifndef MQTT_PACKET_H
#define MQTT_PACKET_H

#include "props.h"

typedef enum mqtt_type {
    MQTT_CONNECT = 1,
    MQTT_CONNACK,
    MQTT_PUBLISH,
    MQTT_PUBACK,
    MQTT_PUBREC,
    MQTT_PUBREL,
    MQTT_PUBCOMP,
    MQTT_SUBSCRIBE,
    MQTT_SUBACK,
    MQTT_UNSUBSCRIBE,
    MQTT_UNSUBACK,
    MQTT_PINGREQ,
    MQTT_PINGRESP,
    MQTT_DISCONNECT,
    MQTT_AUTH,
} mqtt_type;

enum { MQTT_V31 = 3, MQTT_V311 = 4, MQTT_V5 = 5 };

#define MQTT_PACKET_MAX 268435460u ///< the largest packet that a fixed header can announce

typedef struct mqtt_head {
    uint8_t type;
    uint8_t flags;
    uint8_t len; ///< bytes of the fixed header
    bool shortest; ///< the length has no superfluous bytes (only MQTT 5 demands it)
    uint32_t size; ///< bytes of the whole packet
} mqtt_head;

/// @return 1; 0 when the fixed header is not complete; -1 when its length has no end.
int mqtt_head_parse(tg_slice bytes, mqtt_head *out);

enum { // CONNECT flags
    MQTT_F_CLEAN = 1 << 1,
    MQTT_F_WILL = 1 << 2,
    MQTT_F_WILL_QOS = 3 << 3,
    MQTT_F_WILL_RETAIN = 1 << 5,
    MQTT_F_PASSWORD = 1 << 6,
    MQTT_F_USER = 1 << 7,
};

typedef struct mqtt_connect_fields {
    uint8_t flags;
    uint16_t keepalive; ///< seconds
    tg_slice client_id;
    tg_slice will_topic, will_payload;
    tg_slice user, password;
    mqtt_props will_props;
} mqtt_connect_fields;

typedef struct mqtt_packet {
    uint8_t type;
    uint8_t version; ///< of CONNECT: as it asks for; of the others: as given
    uint8_t reason; ///< CONNACK, PUBACK…PUBCOMP, DISCONNECT, AUTH
    uint8_t present; ///< CONNACK: session present
    uint8_t qos, retain, dup; ///< PUBLISH
    uint16_t packet_id;
    const char *why; ///< after a failure: what was wrong, a literal
    union {
        struct {
            tg_slice topic, payload; ///< PUBLISH
        };
        tg_slice list; ///< SUBSCRIBE, UNSUBSCRIBE: filters; SUBACK, UNSUBACK: codes
        mqtt_connect_fields connect;
    };
    mqtt_props props;
} mqtt_packet;

/// Parses the whole packet `bytes`, whose fixed header is `head`.
/// @param version of the connection; with CONNECT it does not matter.
/// @return 0 or the reason code; for CONNECT, `version` says in whose words to refuse it:
///         0 when not even that was readable.
uint8_t mqtt_parse(uint8_t version, const mqtt_head *head, tg_slice bytes,
                   mqtt_packet *out);

enum { // options of a SUBSCRIBE's filter
    MQTT_SUB_QOS = 3,
    MQTT_SUB_NO_LOCAL = 1 << 2,
    MQTT_SUB_RAP = 1 << 3,
    MQTT_SUB_RETAIN = 3 << 4,
};

/// The next filter of a list that was parsed before. @param options NULL with UNSUBSCRIBE.
bool mqtt_filter_next(mqtt_in *in, tg_slice *filter, uint8_t *options);

const char *mqtt_type_name(uint8_t type); ///< "PUBLISH"

#endif
