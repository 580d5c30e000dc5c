// SPDX-License-Identifier: Apache-2.0
/// The options as the host shows and checks them. Ranges are checked once more where the
/// values are read (config.c), since a listener's options come past no schema.
#ifndef MQTT_SCHEMA_H
#define MQTT_SCHEMA_H

// clang-format off
#define MQTT_SCHEMA \
    "{" \
    "\"max_packet_size\":{\"type\":\"size\",\"default\":\"1MiB\",\"min\":128,\"max\":268435460," \
        "\"help\":\"largest packet a client may send; above 1MiB raise limits.frame of the listener too\"}," \
    "\"max_connect_size\":{\"type\":\"size\",\"default\":\"128KiB\",\"min\":128,\"max\":268435460," \
        "\"help\":\"largest CONNECT; its sender is not known yet\"}," \
    "\"session_expiry_max\":{\"type\":\"duration\",\"default\":\"7d\"," \
        "\"help\":\"longest life of a session without a connection; 0: no limit but the host's\"}," \
    "\"keepalive_max\":{\"type\":\"duration\",\"default\":0,\"max\":65535000," \
        "\"help\":\"longest keep alive, imposed on MQTT 5 clients; 0: as they ask\"}," \
    "\"receive_maximum\":{\"type\":\"integer\",\"default\":256,\"min\":1,\"max\":65535," \
        "\"help\":\"QoS 1 and 2 messages of one client not yet answered; at most limits.rx_inflight\"}," \
    "\"topic_alias_maximum\":{\"type\":\"integer\",\"default\":16,\"min\":0,\"max\":1024," \
        "\"help\":\"topic aliases that a client may set\"}," \
    "\"topic_alias_out\":{\"type\":\"integer\",\"default\":16,\"min\":0,\"max\":1024," \
        "\"help\":\"topic aliases set towards a client that allows them\"}," \
    "\"client_id_max\":{\"type\":\"integer\",\"default\":256,\"min\":23,\"max\":65535," \
        "\"help\":\"longest client identifier, bytes\"}," \
    "\"max_qos\":{\"type\":\"integer\",\"default\":2,\"min\":0,\"max\":2," \
        "\"help\":\"highest QoS\"}," \
    "\"retain\":{\"type\":\"boolean\",\"default\":true,\"help\":\"retained messages\"}," \
    "\"wildcard_subscriptions\":{\"type\":\"boolean\",\"default\":true," \
        "\"help\":\"filters with + and #\"}," \
    "\"shared_subscriptions\":{\"type\":\"boolean\",\"default\":true," \
        "\"help\":\"filters that begin with $share\"}," \
    "\"subscription_ids\":{\"type\":\"boolean\",\"default\":true," \
        "\"help\":\"subscription identifiers\"}," \
    "\"assign_client_id\":{\"type\":\"boolean\",\"default\":true," \
        "\"help\":\"give an identifier to clients that come without one\"}," \
    "\"reason_strings\":{\"type\":\"boolean\",\"default\":true," \
        "\"help\":\"say in words why something was refused\"}," \
    "\"check_payload_format\":{\"type\":\"boolean\",\"default\":false," \
        "\"help\":\"refuse payloads that say they are UTF-8 and are not\"}," \
    "\"response_information\":{\"type\":\"string\",\"default\":\"\"," \
        "\"help\":\"prefix of response topics, for clients that ask\"}" \
    "}"
// clang-format on

#endif
