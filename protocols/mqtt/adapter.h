// SPDX-License-Identifier: Apache-2.0
/// What one version of the plugin is: its table for the host, its config, and a part for each
/// worker that only this worker touches.
#ifndef MQTT_ADAPTER_H
#define MQTT_ADAPTER_H

#include <stdatomic.h>

#include "config.h"
#include "count.h"

#define MQTT_ADAPTER_MAGIC 0x4d514144u

/// A PUBLISH as it was sent last, for the next receiver of the same message. Packets to one
/// message's receivers differ in their first byte and identifier only: these are written over.
#define MQTT_MEMO_SIZE 1536
typedef struct mqtt_memo {
    tg_msg msg; ///< a reference; NULL: nothing to be used again
    size_t len;
    size_t id_at;
    uint8_t bytes[MQTT_MEMO_SIZE];
} mqtt_memo;

typedef struct mqtt_worker {
    _Alignas(64) struct mqtt_adapter *adapter;
    struct mqtt_slab *slabs; ///< acknowledgements, all of them
    struct mqtt_ack *spare; ///< those for use
    struct mqtt_request *requests; ///< SUBSCRIBEs and UNSUBSCRIBEs under way
    struct mqtt_configs *configs; ///< of listeners with options of their own
    struct mqtt_port *ports;
    mqtt_memo memo[4]; ///< by MQTT 5 and identifier
} mqtt_worker;

/// What the connections of one listener on one worker have in common: options and counters.
typedef struct mqtt_port {
    struct mqtt_port *next;
    mqtt_worker *worker;
    const mqtt_config *config;
    mqtt_counts counts;
} mqtt_port;

typedef struct mqtt_adapter {
    tg_adapter table; ///< first: the host knows this
    uint32_t magic;
    uint32_t nworkers;
    _Atomic(const mqtt_config *) config;
    struct mqtt_configs *configs; ///< all that were in force; control thread
    mqtt_worker *workers;
} mqtt_adapter;

/// Control thread. @param config the plugin's, by the schema; @return 0 or TG_E_* (explained).
int mqtt_adapter_new(uint32_t workers, const tg_value *config, mqtt_adapter **out);
void mqtt_adapter_free(mqtt_adapter *a);
/// Control thread: new connections get the new config.
int mqtt_adapter_reconfigure(mqtt_adapter *a, const tg_value *config);
/// A worker's last call: lets go of what it holds of the host.
void mqtt_adapter_stop(mqtt_adapter *a, uint32_t worker);

mqtt_adapter *mqtt_adapter_of(const tg_adapter *table);
/// The calling worker's part.
mqtt_worker *mqtt_worker_of(mqtt_adapter *a);
/// The port for a listener with `options`. @return NULL with what is wrong in `error`.
mqtt_port *mqtt_port_for(mqtt_worker *w, tg_slice listener, const tg_value *options,
                         char *error, size_t len);

void mqtt_slabs_free(struct mqtt_slab *list); ///< publish.c
void mqtt_requests_free(struct mqtt_request *list); ///< subscribe.c

/// Memory by the host's rules. @return NULL when there is none; cleared.
void *mqtt_alloc(size_t size);
void mqtt_free(void *at);

#endif
