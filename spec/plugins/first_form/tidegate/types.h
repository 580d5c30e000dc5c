// SPDX-License-Identifier: Apache-2.0
/// The words that every other part of the ABI is made of: slices, errors, handles, values.
/// Nothing here belongs to a thread; everything is plain data.
#ifndef TIDEGATE_TYPES_H
#define TIDEGATE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define TG_API __attribute__((visibility("default")))
#define TG_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/// Bytes that belong to somebody else. Never NUL-terminated, never freed by who receives it.
/// A slice passed to a callback is borrowed until the callback returns.
typedef struct tg_slice {
    const char *at;
    size_t len;
} tg_slice;

#define TG_LIT(literal) ((tg_slice){(literal), sizeof(literal) - 1})

static inline tg_slice tg_str(const char *text)
{
    return (tg_slice){text, text != NULL ? strlen(text) : 0};
}

static inline bool tg_slice_eq(tg_slice a, tg_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

/// Every failure that a function of the ABI may return: name, value, text. Numbers never
/// change and new ones are added at the end; 0 is success, positive values are a function's own.
#define TG_ERRORS(X)                                                                       \
    X(NOMEM, -1, "out of memory")                                                          \
    X(CLOSED, -2, "peer closed the connection")                                            \
    X(FULL, -3, "queue is full")                                                           \
    X(INVAL, -4, "invalid argument")                                                       \
    X(EXISTS, -5, "already exists")                                                        \
    X(NOTFOUND, -6, "not found")                                                           \
    X(TIMEOUT, -7, "timed out")                                                            \
    X(DENIED, -8, "not authorized")                                                        \
    X(UNSUPPORTED, -9, "not supported")                                                    \
    X(TOOBIG, -10, "larger than the limit")                                                \
    X(MALFORMED, -11, "malformed data")                                                    \
    X(CHECKSUM, -12, "wrong checksum")                                                     \
    X(VERSION, -13, "incompatible version")                                                \
    X(IO, -14, "input/output error")                                                       \
    X(RESOLVE, -15, "host name could not be resolved")                                     \
    X(REFUSED, -16, "connection refused")                                                  \
    X(TLS, -17, "TLS failure")                                                             \
    X(LIMIT, -18, "limit reached")                                                         \
    X(CANCELLED, -19, "cancelled")                                                         \
    X(BUDGET, -20, "budget exceeded")                                                      \
    X(SCRIPT, -21, "script error")                                                         \
    X(BUSY, -22, "busy")                                                                   \
    X(TAKENOVER, -23, "session taken over")                                                \
    X(SHUTDOWN, -24, "host is shutting down")                                              \
    X(IDLE, -25, "nothing received for too long")                                          \
    X(PROTOCOL, -26, "protocol violation")                                                 \
    X(KICKED, -27, "closed by an administrator")                                           \
    X(RELOADED, -28, "the plugin's version was retired")                                   \
    X(THREAD, -29, "called on the wrong thread")                                           \
    X(AGAIN, -30, "would block")

typedef enum tg_errno {
#define X(name, value, text) TG_E_##name = (value),
    TG_ERRORS(X)
#undef X
} tg_errno;

/// Handles: index and generation. A stale one answers TG_E_CLOSED and never reads freed
/// memory. Zero is never a valid handle. A handle is used on the worker that made it.
typedef struct tg_conn {
    uint64_t id;
} tg_conn;
typedef struct tg_session {
    uint64_t id;
} tg_session;
typedef struct tg_timer {
    uint64_t id;
} tg_timer;
typedef struct tg_poll {
    uint64_t id;
} tg_poll;
/// One thing under way that will be completed exactly once; may travel between threads.
typedef struct tg_op {
    uint64_t id;
} tg_op;

/// A value of a config, a driver call, a completion or a JSON document. The tree is borrowed
/// as slices are; strings may hold any bytes, maps keep their order.
typedef enum tg_kind {
    TG_NIL,
    TG_BOOL,
    TG_INT,
    TG_NUM,
    TG_STR,
    TG_LIST,
    TG_MAP,
} tg_kind;

struct tg_pair;

typedef struct tg_value {
    uint8_t kind; ///< tg_kind
    uint8_t secret; ///< 1: never printed, logged or listed
    uint16_t reserved;
    uint32_t line; ///< where it stands in its source file; 0 unknown
    union {
        bool boolean;
        int64_t integer;
        double number;
        tg_slice string;
        struct {
            const struct tg_value *items;
            size_t count;
        } list;
        struct {
            const struct tg_pair *pairs;
            size_t count;
        } map;
    };
} tg_value;

typedef struct tg_pair {
    tg_slice key;
    tg_value value;
} tg_pair;

/// @return the member of map `v`, or NULL; NULL too when `v` is NULL or no map.
static inline const tg_value *tg_value_get(const tg_value *v, const char *key)
{
    tg_slice want = tg_str(key);
    if (v == NULL || v->kind != TG_MAP)
        return NULL;
    for (size_t i = 0; i < v->map.count; i++)
        if (tg_slice_eq(v->map.pairs[i].key, want))
            return &v->map.pairs[i].value;
    return NULL;
}

/// @return the member's integer, or `otherwise` when it is missing or of another kind.
static inline int64_t tg_value_int(const tg_value *v, const char *key, int64_t otherwise)
{
    const tg_value *m = tg_value_get(v, key);
    return m != NULL && m->kind == TG_INT ? m->integer : otherwise;
}

/// @return the member's boolean, or `otherwise` when it is missing or of another kind.
static inline bool tg_value_bool(const tg_value *v, const char *key, bool otherwise)
{
    const tg_value *m = tg_value_get(v, key);
    return m != NULL && m->kind == TG_BOOL ? m->boolean : otherwise;
}

/// @return the member's string, or `otherwise` when it is missing or of another kind.
static inline tg_slice tg_value_str(const tg_value *v, const char *key, tg_slice otherwise)
{
    const tg_value *m = tg_value_get(v, key);
    return m != NULL && m->kind == TG_STR ? m->string : otherwise;
}

/// How an asynchronous call that the host carries out comes back: once, on the worker that
/// called, never before the call returned 0 and never after it returned an error.
/// @param code 0 or TG_E_*; `value` is borrowed and may be NULL.
typedef void tg_done_fn(void *ctx, int code, const tg_value *value);

#endif
