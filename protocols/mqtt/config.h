// SPDX-License-Identifier: Apache-2.0
/// The adapter's options: for the plugin, and for a listener that wants some of them different.
#ifndef MQTT_CONFIG_H
#define MQTT_CONFIG_H

#include <tidegate.h>

#define MQTT_EXPIRY_NEVER UINT32_MAX

/// Compared as bytes: without gaps.
typedef struct mqtt_config {
    uint32_t max_packet; ///< bytes of a packet from a client
    uint32_t max_connect; ///< the same for CONNECT, from somebody unknown
    uint32_t session_expiry_max; ///< seconds; MQTT_EXPIRY_NEVER: no limit
    uint32_t keepalive_max; ///< seconds; 0: what the client asks for
    uint32_t receive_max; ///< QoS above 0 from one client, unanswered
    uint32_t alias_max; ///< topic aliases a client may set
    uint32_t alias_out; ///< topic aliases used towards a client that allows them
    uint32_t client_id_max; ///< bytes
    uint32_t max_qos;
    uint8_t retain; ///< 0 or 1, as those that follow
    uint8_t wildcards;
    uint8_t shared;
    uint8_t sub_ids;
    uint8_t assign_client_id; ///< for clients that come without
    uint8_t reason_strings;
    uint8_t check_payload; ///< payloads that say they are UTF-8 must be
    char response_info[125]; ///< given to clients that ask; empty: none
} mqtt_config;
_Static_assert(sizeof(mqtt_config) == 9 * 4 + 7 + 125, "no gaps");

void mqtt_config_default(mqtt_config *c);

/// Changes what map `v` names (NULL: nothing). @param plain the schema was applied already:
/// durations are milliseconds; else they are "5s" or a number of seconds.
/// @return 0, or TG_E_INVAL with what is wrong in `error`.
int mqtt_config_read(mqtt_config *c, const tg_value *v, bool plain, char *error,
                     size_t len);

#endif
