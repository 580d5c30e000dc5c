// SPDX-License-Identifier: Apache-2.0
/// The C ABI of the host: all that protocols/ and plugins/ may include.
/// Unless a function says otherwise, call it on the worker thread that called you.
///
/// A plugin writes TG_PLUGIN(...) once, calls tg_env_init() first thing in its load(), and
/// then uses the inline calls below. See docs/c-plugin.md.
#ifndef TIDEGATE_H
#define TIDEGATE_H

#include <stdarg.h>
#include <stdio.h>

#include "tidegate/host.h"

/// The tables a version was given. One per copy of the plugin, since each version is loaded
/// from a copy of its own.
typedef struct tg_env {
    const tg_host *host;
    tg_self *self;
    const tg_msg_api *msg;
    const tg_conn_api *conn;
    const tg_session_api *session;
    const tg_auth_api *auth;
    const tg_timer_api *timer;
    const tg_poll_api *poll;
    const tg_work_api *work;
    const tg_kv_api *kv;
    const tg_metric_api *metric;
    const tg_listen_api *listen;
    const tg_frame_api *frame;
    const tg_register_api *add;
} tg_env;

extern tg_env tg __attribute__((visibility("hidden")));

/// Defines the plugin object. Members are those of tg_plugin, e.g.
///   TG_PLUGIN(.id = "echo", .version = "1.0.0", .life = { .load = load });
#define TG_PLUGIN(...)                                                                     \
    tg_env tg;                                                                             \
    TG_API const tg_plugin tg_plugin_v1 = {.magic = TG_PLUGIN_MAGIC,                       \
                                           .size = sizeof(tg_plugin),                      \
                                           .abi_major = TG_ABI_MAJOR,                      \
                                           .abi_minor = TG_ABI_MINOR,                      \
                                           __VA_ARGS__}

/// Declares the options of the plugin's config, as JSON: {"name": {"type": "integer",
/// "default": 1, "help": "…"}, …}. Read before the plugin is loaded.
#define TG_PLUGIN_SCHEMA(json) TG_API const char tg_plugin_v1_schema[] = json

/// Fetches the tables. @return TG_E_VERSION when the host lacks one.
static inline int tg_env_init(tg_env *env, const tg_host *host, tg_self *self)
{
    *env = (tg_env){.host = host, .self = self};
    env->msg = (const tg_msg_api *)host->query("msg", 1, 0);
    env->conn = (const tg_conn_api *)host->query("conn", 1, 0);
    env->session = (const tg_session_api *)host->query("session", 1, 0);
    env->auth = (const tg_auth_api *)host->query("auth", 1, 0);
    env->timer = (const tg_timer_api *)host->query("timer", 1, 0);
    env->poll = (const tg_poll_api *)host->query("poll", 1, 0);
    env->work = (const tg_work_api *)host->query("work", 1, 0);
    env->kv = (const tg_kv_api *)host->query("kv", 1, 0);
    env->metric = (const tg_metric_api *)host->query("metric", 1, 0);
    env->listen = (const tg_listen_api *)host->query("listen", 1, 0);
    env->frame = (const tg_frame_api *)host->query("frame", 1, 0);
    env->add = (const tg_register_api *)host->query("register", 1, 0);
    bool whole = env->msg && env->conn && env->session && env->auth && env->timer &&
                 env->poll && env->work && env->kv && env->metric && env->listen &&
                 env->frame && env->add;
    return whole ? 0 : TG_E_VERSION;
}

/// One line in the host's log, under the plugin's name. Any thread.
TG_PRINTF(2, 3) static inline void tg_logf(tg_level level, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (len > 0)
        tg.host->log(
            tg.self, level,
            (tg_slice){text, (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1});
}

/// Explains why load() or start() is about to fail, and gives the code back.
TG_PRINTF(2, 3) static inline int tg_fail(int code, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (len > 0)
        tg.host->set_error(
            tg.self,
            (tg_slice){text, (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1});
    return code;
}

#endif
