// SPDX-License-Identifier: Apache-2.0
/// Devices: sessions of adapters that take commands, connected or away.
#ifndef TG_PLUGIN_DEVICES_H
#define TG_PLUGIN_DEVICES_H

#include "plugin/runtime.h"

/// Slices are borrowed while it is shown.
typedef struct tg_device {
    const tg_session_info *session;
    tg_slice adapter;
    tg_slice down; ///< where commands for it wait while it is away; empty: nowhere
    bool connected; ///< what follows is known
    bool outgoing; ///< it was dialed
    tg_slice listener, peer;
    const char *transport;
    uint64_t opened, heard; ///< ms since the epoch
} tg_device;

typedef void tg_device_fn(void *ctx, const tg_device *d);

/// On a worker: the devices that are here.
void tg_devices_each(tg_runtime *rt, tg_device_fn *each, void *ctx);
/// On a worker: the device `id`, if it is here.
void tg_devices_find(tg_runtime *rt, tg_slice id, tg_device_fn *each, void *ctx);

/// Any thread: `each` for the names of the commands of adapter `id` as new connections get
/// it, while it is held. @return TG_E_NOTFOUND: no such adapter, or it has none.
int tg_device_commands(tg_runtime *rt, tg_slice adapter,
                       void (*each)(void *ctx, const char *name), void *ctx);

/// On the worker of a connected device: starts `cmd`. `done` is called on it, also with
/// TG_E_TIMEOUT and no value once `cmd->timeout_ms` have passed, and with TG_E_SHUTDOWN.
/// @return TG_E_CLOSED: it is not here, or it is away; TG_E_NOTFOUND: it has no such command;
/// or why it could not start.
int tg_device_command(tg_runtime *rt, const tg_command *cmd, tg_done_fn *done, void *ctx);

/// A tg_away_fn of a tg_runtime: what comes on its down topic is told to its adapter.
void tg_devices_away(void *runtime, tg_slice client_id, const tg_value *attributes,
                     tg_msg m, int reason);

#endif
