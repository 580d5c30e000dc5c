// SPDX-License-Identifier: Apache-2.0
// The one place that says what the API offers, under which path, and to whom.
#include "admin/handlers.h"

static const tg_route ROUTES[] = {
    {"GET", "/health", TG_ROLE_NONE, tg_handle_health},
    {"GET", "/metrics", TG_ROLE_VIEWER, tg_handle_metrics},
    {"GET", "/api/v1/health", TG_ROLE_NONE, tg_handle_health},
    {"GET", "/api/v1/metrics", TG_ROLE_VIEWER, tg_handle_metrics},
    {"GET", "/api/v1/status", TG_ROLE_VIEWER, tg_handle_status},
    {"GET", "/api/v1/plugins", TG_ROLE_VIEWER, tg_handle_plugins},
    {"POST", "/api/v1/plugins/{id}/reload", TG_ROLE_ADMIN, tg_handle_reload},
    {"GET", "/api/v1/listeners", TG_ROLE_VIEWER, tg_handle_listeners},
    {"GET", "/api/v1/clients", TG_ROLE_VIEWER, tg_handle_clients},
    {"GET", "/api/v1/clients/{id}", TG_ROLE_VIEWER, tg_handle_client},
    {"DELETE", "/api/v1/clients/{id}", TG_ROLE_OPERATOR, tg_handle_kick},
    {"GET", "/api/v1/devices", TG_ROLE_VIEWER, tg_handle_devices},
    {"GET", "/api/v1/devices/{id}", TG_ROLE_VIEWER, tg_handle_device},
    {"POST", "/api/v1/devices/{id}/commands", TG_ROLE_OPERATOR, tg_handle_command},
    {"GET", "/api/v1/topics", TG_ROLE_VIEWER, tg_handle_topics},
    {"GET", "/api/v1/retained", TG_ROLE_VIEWER, tg_handle_retained},
    {"POST", "/api/v1/publish", TG_ROLE_OPERATOR, tg_handle_publish},
    {"GET", "/api/v1/subscribe", TG_ROLE_VIEWER, tg_handle_subscribe},
    {"POST", "/api/v1/decode/{adapter}", TG_ROLE_VIEWER, tg_handle_decode},
    {"GET", "/api/v1/log", TG_ROLE_VIEWER, tg_handle_log_get},
    {"PUT", "/api/v1/log", TG_ROLE_OPERATOR, tg_handle_log_put},
};

#define ROUTE_COUNT (sizeof(ROUTES) / sizeof(ROUTES[0]))

unsigned tg_route_find(tg_request *r, const char *method, tg_buf *allow)
{
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        if (!tg_path_fits(ROUTES[i].path, r->path))
            continue;
        if (strcmp(ROUTES[i].method, wanted) == 0) {
            r->route = &ROUTES[i];
            tg_path_take(r->route->path, r->path, r->params);
            return 0;
        }
        tg_buf_puts(allow, allow->len > 0 ? ", " : "");
        tg_buf_puts(allow, ROUTES[i].method);
    }
    return allow->len > 0 ? MHD_HTTP_METHOD_NOT_ALLOWED : MHD_HTTP_NOT_FOUND;
}
