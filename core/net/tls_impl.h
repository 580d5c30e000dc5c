// SPDX-License-Identifier: Apache-2.0
/// What connections need of a TLS context. Nobody outside this room includes it.
#ifndef TG_NET_TLS_IMPL_H
#define TG_NET_TLS_IMPL_H

#include <openssl/ssl.h>

#include "net/conn.h"

void tg_tls_ref(tg_tls *t); ///< any thread
bool tg_tls_is_server(const tg_tls *t);
bool tg_tls_verifies(const tg_tls *t);
/// A session on the context of now. Any thread. @return NULL when out of memory.
SSL *tg_tls_session(tg_tls *t);

#endif
