// SPDX-License-Identifier: Apache-2.0
/// The auth chain: backends asked one after the other, the built-in users among them.
#ifndef TG_PLUGIN_AUTH_H
#define TG_PLUGIN_AUTH_H

#include "plugin/state.h"

#define TG_AUTH_TIMEOUT_MS 5000

/// Reads the chain and the users of the config. @return TG_E_INVAL.
int tg_auth_open(tg_runtime *rt, const tg_value *chain, const tg_value *users, tg_error *e);
void tg_auth_close(tg_runtime *rt);

/// `topic` is one of the host's own: no plugin publishes there.
bool tg_topic_of_host(tg_slice topic);
/// May session `s` of this worker subscribe to `filter`, as far as it leads to those?
bool tg_auth_may_read_sys(const tg_runtime *rt, tg_shard *shard, tg_session s,
                          tg_slice filter);

typedef struct tg_user tg_user;
/// @param file names the list's place in errors; NULL none. @return TG_E_INVAL, TG_E_NOMEM.
int tg_users_new(const tg_value *list, const char *file, tg_users **out, tg_error *e);
void tg_users_free(tg_users *u);
/// NULL: no such user.
const tg_user *tg_users_find(const tg_users *u, tg_slice name);
/// A hashed password takes its time: check it on the pool.
bool tg_user_slow(const tg_user *u);
bool tg_user_check(const tg_user *u, tg_slice password);
const tg_value *tg_user_attributes(const tg_user *u);

/// `topic` lies in one of the patterns, `${client_id}` and `${user}` replaced.
bool tg_acl_topic(const tg_value *list, tg_slice client_id, tg_slice user, tg_slice topic);
/// Everything that `filter` can match lies in one of the patterns.
bool tg_acl_filter(const tg_value *list, tg_slice client_id, tg_slice user,
                   tg_slice filter);
tg_slice tg_acl_unshared(tg_slice filter); ///< without "$share/<name>/"

#endif
