// SPDX-License-Identifier: Apache-2.0
/// Structured logs: a line is a level, a module, a message and fields. Text on a terminal, JSON
/// otherwise. A level per module, which may change while the host runs. Any thread. Never waits
/// for a reader: a full pipe loses lines, and the next one says how many (`lost_lines`).
#ifndef TG_BASE_LOG_H
#define TG_BASE_LOG_H

#include "tidegate/host.h"

/// Modules with a level of their own: name in logs and in `log.levels` of the config.
#define TG_LOG_MODULES(X)                                                                  \
    X(HOST, "host")                                                                        \
    X(NET, "net")                                                                          \
    X(TLS, "tls")                                                                          \
    X(HUB, "hub")                                                                          \
    X(PLUGIN, "plugin")                                                                    \
    X(LUA, "lua")                                                                          \
    X(AUTH, "auth")                                                                        \
    X(ADMIN, "admin")                                                                      \
    X(ADAPTER, "adapter")

typedef enum tg_log_module {
#define X(id, name) TG_MOD_##id,
    TG_LOG_MODULES(X)
#undef X
        TG_MOD_COUNT
} tg_log_module;

typedef enum tg_log_format { TG_LOG_AUTO, TG_LOG_TEXT, TG_LOG_JSON } tg_log_format;

/// @param fd where lines go. Call once; before it lines go to stderr as text at `info`.
void tg_log_open(int fd, tg_log_format format);
/// @param module NULL: all. @return TG_E_NOTFOUND for a module that is not there.
int tg_log_set_level(const char *module, tg_level level);
/// @return -1 for a word that is no level.
int tg_log_level_from(tg_slice word);
bool tg_log_on(tg_log_module module, tg_level level);

/// A field of a line. The value is a string, or a number when `text` is NULL.
typedef struct tg_field {
    const char *key;
    const char *text;
    int64_t number;
} tg_field;

#define TG_F(k, v) ((tg_field){(k), (v), 0})
#define TG_FN(k, n) ((tg_field){(k), NULL, (int64_t)(n)})

void tg_log_write(tg_log_module module, tg_level level, const tg_field *fields, size_t n,
                  const char *fmt, ...) TG_PRINTF(5, 6);

#define tg_log(module, level, ...)                                                         \
    do {                                                                                   \
        if (tg_log_on(TG_MOD_##module, TG_LOG_##level))                                    \
            tg_log_write(TG_MOD_##module, TG_LOG_##level, NULL, 0, __VA_ARGS__);           \
    } while (0)

/// At most `burst` lines a minute for one source; the first line after a pause says how many
/// were left out. Zeroed is valid. One thread.
typedef struct tg_log_gate {
    uint64_t window; ///< start of the running minute, ms
    uint32_t passed, held;
} tg_log_gate;
/// @return write it; *held: lines left out since the last one that passed.
bool tg_log_gate_pass(tg_log_gate *g, uint64_t now_ms, uint32_t burst, uint32_t *held);

#endif
