// SPDX-License-Identifier: Apache-2.0
/// What is counted of MQTT, for each listener apart. Sums over listeners are the reader's.
#ifndef MQTT_COUNT_H
#define MQTT_COUNT_H

#include "reason.h"

// X(name, help): the families, as the host shows them behind tidegate_mqtt_. Each has the label
// `listener`, and those that are named here.
#define MQTT_FAMILIES(X)                                                                   \
    X(connections, "Clients that are connected.")                                          \
    X(connacks_total, "CONNACK packets, by their reason.")                                 \
    X(disconnects_total, "Ends of connected clients: who wanted it, and why.")             \
    X(packets_received_total, "Packets from clients, by type.")                            \
    X(packets_sent_total, "Packets to clients, by type.")                                  \
    X(messages_received_total, "PUBLISH packets from clients, by QoS.")                    \
    X(messages_sent_total, "PUBLISH packets to clients, by QoS.")                          \
    X(payload_bytes_received_total, "Payload bytes of PUBLISH packets from clients.")      \
    X(payload_bytes_sent_total, "Payload bytes of PUBLISH packets to clients.")            \
    X(messages_dropped_total, "Messages that were not routed, or not sent to a client.")   \
    X(subscriptions_denied_total, "Filters that a client was not allowed to subscribe.")   \
    X(protocol_errors_total, "Connections closed for a malformed or wrong packet.")        \
    X(unknown_acks_total, "Acknowledgements of what was not sent.")

typedef enum mqtt_family {
#define X(name, help) MQTT_FAM_##name,
    MQTT_FAMILIES(X)
#undef X
} mqtt_family;

// X(id, family, label, value): counters that stand behind those of the packet types.
#define MQTT_COUNTERS(X)                                                                   \
    X(connections, connections, NULL, NULL)                                                \
    X(lost, disconnects_total, "reason", "connection_lost")                                \
    X(qos_received, messages_received_total, "qos", "0")                                   \
    X(qos1_received, messages_received_total, "qos", "1")                                  \
    X(qos2_received, messages_received_total, "qos", "2")                                  \
    X(qos_sent, messages_sent_total, "qos", "0")                                           \
    X(qos1_sent, messages_sent_total, "qos", "1")                                          \
    X(qos2_sent, messages_sent_total, "qos", "2")                                          \
    X(bytes_received, payload_bytes_received_total, NULL, NULL)                            \
    X(bytes_sent, payload_bytes_sent_total, NULL, NULL)                                    \
    X(publish_denied, messages_dropped_total, "reason", "not_authorized")                  \
    X(publish_refused, messages_dropped_total, "reason", "refused")                        \
    X(dropped_too_large, messages_dropped_total, "reason", "too_large")                    \
    X(subscribe_denied, subscriptions_denied_total, NULL, NULL)                            \
    X(protocol_errors, protocol_errors_total, NULL, NULL)                                  \
    X(unknown_acks, unknown_acks_total, NULL, NULL)

/// Types of packets come first: MQTT_N_received + type.
typedef enum mqtt_counter {
    MQTT_N_received = 0,
    MQTT_N_sent = 16,
    MQTT_N_before = 31,
#define X(id, family, label, value) MQTT_N_##id,
    MQTT_COUNTERS(X)
#undef X
        MQTT_NCOUNTERS
} mqtt_counter;

/// What is counted by reason code; a pair of family and reason is defined when it first occurs.
typedef enum mqtt_by_reason {
    MQTT_R_CONNACK,
    MQTT_R_SERVER, ///< the server ended the connection
    MQTT_R_CLIENT, ///< the client did, with DISCONNECT
    MQTT_NBY_REASON
} mqtt_by_reason;

/// The counters of one listener on one worker.
typedef struct mqtt_counts {
    char listener[64];
    _Atomic int64_t *cells[MQTT_NCOUNTERS];
    _Atomic int64_t *by_reason[MQTT_NBY_REASON][MQTT_NREASONS]; ///< NULL: not yet
} mqtt_counts;

/// On the worker. What cannot be defined is not counted. @param listener empty: dialed.
void mqtt_counts_init(mqtt_counts *c, tg_slice listener);
void mqtt_counts_reason(mqtt_counts *c, mqtt_by_reason what, uint8_t reason);

#endif
