// SPDX-License-Identifier: Apache-2.0
/// Authentication: one chain of backends that every adapter asks, asynchronous.
#ifndef TIDEGATE_AUTH_H
#define TIDEGATE_AUTH_H

#include "types.h"

/// What a backend completes its op with (as the code). Any TG_E_* is the fourth result, error:
/// the chain stops and the client is refused.
typedef enum tg_verdict {
    TG_AUTH_ALLOW = 0,
    TG_AUTH_DENY = 1,
    TG_AUTH_NEXT = 2, ///< not mine: ask the next backend; after the last one it is a denial
} tg_verdict;

typedef struct tg_auth_request {
    uint32_t size;
    uint8_t has_password;
    uint8_t tls;
    uint16_t reserved;
    tg_slice client_id; ///< or the device's number
    tg_slice user;
    tg_slice password; ///< never logged
    tg_slice peer;
    tg_slice listener;
    tg_slice adapter;
    tg_slice cert_cn; ///< of a verified client certificate
    const tg_value *extra; ///< a map of the adapter's own; NULL none
} tg_auth_request;

/// A backend. `check` starts on a worker; it ends with complete(op, verdict, attributes), at
/// once or later, from any thread. Attributes: a map that joins the session's; two members
/// have a meaning to the host: `user` (string) replaces the user, `acl` is a map with
/// `publish` and `subscribe`, lists of topic filters (`${client_id}` and `${user}` are
/// replaced) outside of which the client may not publish or subscribe.
typedef struct tg_auth_backend {
    uint32_t size;
    const char *id;
    /// @return TG_E_* when it could not start; then it must not complete.
    int (*check)(const struct tg_auth_backend *self, const tg_auth_request *request,
                 tg_op op);
} tg_auth_backend;

typedef struct tg_auth_api {
    uint32_t size;

    /// Asks the chain on behalf of `c`; listener, peer, tls and certificate are filled in from
    /// it. A client without user and password is let in where its listener says `anonymous`.
    /// @param done code TG_AUTH_ALLOW with the attributes, TG_AUTH_DENY with {reason = …}, or
    ///        TG_E_*; TG_E_CLOSED when the connection went first.
    int (*check)(tg_conn c, const tg_auth_request *request, tg_done_fn *done, void *ctx);

    /// May a client with these attributes do it? Synchronous, no backend is asked.
    bool (*may_publish)(const tg_value *attributes, tg_slice client_id, tg_slice user,
                        tg_slice topic);
    bool (*may_subscribe)(const tg_value *attributes, tg_slice client_id, tg_slice user,
                          tg_slice filter);
} tg_auth_api;

#endif
