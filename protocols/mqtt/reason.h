// SPDX-License-Identifier: Apache-2.0
/// MQTT 5.0 §2.4: every reason code once, with the packets that may carry it, what MQTT 3 says
/// instead in a CONNACK, the host's error for it, and words for a person.
#ifndef MQTT_REASON_H
#define MQTT_REASON_H

#include <tidegate.h>

// Packets, as bits of 1 << type: what the table below is made of.
#define ON_CONNACK (1u << 2)
#define ON_PUBACK (1u << 4 | 1u << 5) // PUBACK and PUBREC have the same codes
#define ON_PUBREL (1u << 6 | 1u << 7) // so have PUBREL and PUBCOMP
#define ON_SUBACK (1u << 9)
#define ON_UNSUBACK (1u << 11)
#define ON_DISCONNECT (1u << 14)
#define ON_AUTH (1u << 15)
#define ON_ANY_ACK (ON_PUBACK | ON_SUBACK | ON_UNSUBACK)
#define ON_REFUSAL (ON_CONNACK | ON_DISCONNECT)

// X(name, code, packets, MQTT 3 CONNACK code, host error, text)
#define MQTT_REASONS(X)                                                                    \
    X(SUCCESS, 0x00, ON_REFUSAL | ON_ANY_ACK | ON_PUBREL | ON_AUTH, 0, CLOSED, "success")  \
    X(GRANTED_1, 0x01, ON_SUBACK, 0, CLOSED, "granted QoS 1")                              \
    X(GRANTED_2, 0x02, ON_SUBACK, 0, CLOSED, "granted QoS 2")                              \
    X(WITH_WILL, 0x04, ON_DISCONNECT, 0, CLOSED, "disconnect with will message")           \
    X(NOBODY, 0x10, ON_PUBACK, 0, CLOSED, "no matching subscribers")                       \
    X(NO_SUBSCRIPTION, 0x11, ON_UNSUBACK, 0, CLOSED, "no subscription existed")            \
    X(CONTINUE, 0x18, ON_AUTH, 0, CLOSED, "continue authentication")                       \
    X(REAUTHENTICATE, 0x19, ON_AUTH, 0, CLOSED, "re-authenticate")                         \
    X(UNSPECIFIED, 0x80, ON_REFUSAL | ON_ANY_ACK, 3, IO, "unspecified error")              \
    X(MALFORMED, 0x81, ON_REFUSAL, 0, MALFORMED, "malformed packet")                       \
    X(PROTOCOL, 0x82, ON_REFUSAL, 0, PROTOCOL, "protocol error")                           \
    X(IMPLEMENTATION, 0x83, ON_REFUSAL | ON_ANY_ACK, 3, IO,                                \
      "implementation specific error")                                                     \
    X(BAD_VERSION, 0x84, ON_CONNACK, 1, VERSION, "unsupported protocol version")           \
    X(BAD_CLIENT_ID, 0x85, ON_CONNACK, 2, INVAL, "client identifier not valid")            \
    X(BAD_USER, 0x86, ON_CONNACK, 4, DENIED, "bad user name or password")                  \
    X(NOT_AUTHORIZED, 0x87, ON_REFUSAL | ON_ANY_ACK, 5, DENIED, "not authorized")          \
    X(UNAVAILABLE, 0x88, ON_CONNACK, 3, IO, "server unavailable")                          \
    X(BUSY, 0x89, ON_REFUSAL, 3, BUSY, "server busy")                                      \
    X(BANNED, 0x8A, ON_CONNACK, 5, DENIED, "banned")                                       \
    X(SHUTDOWN, 0x8B, ON_DISCONNECT, 3, SHUTDOWN, "server shutting down")                  \
    X(BAD_METHOD, 0x8C, ON_REFUSAL, 5, UNSUPPORTED, "bad authentication method")           \
    X(KEEPALIVE, 0x8D, ON_DISCONNECT, 3, IDLE, "keep alive timeout")                       \
    X(TAKEN_OVER, 0x8E, ON_DISCONNECT, 3, TAKENOVER, "session taken over")                 \
    X(BAD_FILTER, 0x8F, ON_SUBACK | ON_UNSUBACK | ON_DISCONNECT, 3, INVAL,                 \
      "topic filter invalid")                                                              \
    X(BAD_TOPIC, 0x90, ON_REFUSAL | ON_PUBACK, 0, INVAL, "topic name invalid")             \
    X(ID_IN_USE, 0x91, ON_ANY_ACK, 3, PROTOCOL, "packet identifier in use")                \
    X(NO_SUCH_ID, 0x92, ON_PUBREL, 3, NOTFOUND, "packet identifier not found")             \
    X(RECEIVE_MAX, 0x93, ON_DISCONNECT, 3, LIMIT, "receive maximum exceeded")              \
    X(BAD_ALIAS, 0x94, ON_DISCONNECT, 3, PROTOCOL, "topic alias invalid")                  \
    X(TOO_LARGE, 0x95, ON_REFUSAL, 3, TOOBIG, "packet too large")                          \
    X(RATE, 0x96, ON_DISCONNECT, 3, LIMIT, "message rate too high")                        \
    X(QUOTA, 0x97, ON_REFUSAL | ON_PUBACK | ON_SUBACK, 3, LIMIT, "quota exceeded")         \
    X(ADMIN, 0x98, ON_DISCONNECT, 3, KICKED, "administrative action")                      \
    X(BAD_PAYLOAD, 0x99, ON_REFUSAL | ON_PUBACK, 3, INVAL, "payload format invalid")       \
    X(NO_RETAIN, 0x9A, ON_REFUSAL, 5, UNSUPPORTED, "retain not supported")                 \
    X(NO_QOS, 0x9B, ON_REFUSAL, 5, UNSUPPORTED, "QoS not supported")                       \
    X(USE_ANOTHER, 0x9C, ON_REFUSAL, 3, CLOSED, "use another server")                      \
    X(MOVED, 0x9D, ON_REFUSAL, 3, CLOSED, "server moved")                                  \
    X(NO_SHARED, 0x9E, ON_SUBACK | ON_DISCONNECT, 3, UNSUPPORTED,                          \
      "shared subscriptions not supported")                                                \
    X(CONNECT_RATE, 0x9F, ON_REFUSAL, 3, LIMIT, "connection rate exceeded")                \
    X(CONNECT_TIME, 0xA0, ON_DISCONNECT, 3, TIMEOUT, "maximum connect time")               \
    X(NO_SUB_IDS, 0xA1, ON_SUBACK | ON_DISCONNECT, 3, UNSUPPORTED,                         \
      "subscription identifiers not supported")                                            \
    X(NO_WILDCARDS, 0xA2, ON_SUBACK | ON_DISCONNECT, 3, UNSUPPORTED,                       \
      "wildcard subscriptions not supported")

typedef enum mqtt_reason {
#define X(name, code, packets, v3, error, text) MQTT_##name = (code),
    MQTT_REASONS(X)
#undef X
} mqtt_reason;

enum {
#define X(name, code, packets, v3, error, text) MQTT_I_##name,
    MQTT_REASONS(X)
#undef X
        MQTT_NREASONS
};

const char *mqtt_reason_text(uint8_t reason);
/// @return its place in the table, from 0; -1 for a number that is none.
int mqtt_reason_index(uint8_t reason);
/// @return whether a packet of `type` may carry `reason`; false for a number that is none.
bool mqtt_reason_allowed(uint8_t reason, uint8_t type);
/// @return the return code that an MQTT 3 CONNACK has for it; 0: none, it is not sent then
/// (3.1.1 §3.1.4, §3.2.2.3).
uint8_t mqtt_reason_v3(uint8_t reason);
/// @return the host's TG_E_* for it.
int mqtt_reason_error(uint8_t reason);

#endif
