// SPDX-License-Identifier: Apache-2.0
/// What the routes lead to. Each runs on the HTTP thread and answers, now or later.
#ifndef TG_ADMIN_HANDLERS_H
#define TG_ADMIN_HANDLERS_H

#include "admin/request.h"

// status.c
void tg_handle_status(tg_request *r);
void tg_handle_health(tg_request *r);
void tg_handle_metrics(tg_request *r);
void tg_handle_log_get(tg_request *r);
void tg_handle_log_put(tg_request *r);

// plugins.c
void tg_handle_plugins(tg_request *r);
void tg_handle_reload(tg_request *r);
void tg_handle_listeners(tg_request *r);
void tg_handle_decode(tg_request *r);

// lists.c
void tg_handle_clients(tg_request *r);
void tg_handle_client(tg_request *r);
void tg_handle_kick(tg_request *r);
void tg_handle_devices(tg_request *r);
void tg_handle_device(tg_request *r);
void tg_handle_topics(tg_request *r);
void tg_handle_retained(tg_request *r);

// commands.c
void tg_handle_command(tg_request *r);

// publish.c
void tg_handle_publish(tg_request *r);

// subscribe.c
void tg_handle_subscribe(tg_request *r);
/// Ends every stream; control thread, while the API closes.
void tg_streams_end(tg_admin *a);

#endif
