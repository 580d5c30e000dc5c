// SPDX-License-Identifier: Apache-2.0
// MQTT as any other adapter: what it needs of the host comes through the public tables, and the
// host knows nothing of MQTT. This file alone knows that it is a plugin.
#include "adapter.h"
#include "schema.h"

static mqtt_adapter
    *adapter; // of this copy of the plugin; set once, before any worker runs

static void destroy(void *arg)
{
    mqtt_adapter_free((mqtt_adapter *)arg);
}

static int load(const tg_host *host, tg_self *self)
{
    int rc = tg_env_init(&tg, host, self);
    if (rc < 0)
        return rc;
    rc = mqtt_adapter_new(host->workers, host->config(self), &adapter);
    if (rc < 0)
        return rc;
    rc = tg.add->adapter(self, &adapter->table, destroy, adapter);
    if (rc < 0)
        mqtt_adapter_free(adapter);
    return rc;
}

static int reconfigure(const tg_value *config)
{
    return mqtt_adapter_reconfigure(adapter, config);
}

static void stop(uint32_t worker)
{
    mqtt_adapter_stop(adapter, worker);
}

TG_PLUGIN_SCHEMA(MQTT_SCHEMA);

TG_PLUGIN(.capabilities = TG_CAP_ADAPTER, .flags = TG_PLUGIN_UNMAP_SAFE, .id = "mqtt",
          .version = "1.0.0",
          .life = {.load = load, .reconfigure = reconfigure, .stop = stop});
