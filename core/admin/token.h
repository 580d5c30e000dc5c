// SPDX-License-Identifier: Apache-2.0
/// Who may do what: bearer tokens and the roles behind them.
#ifndef TG_ADMIN_TOKEN_H
#define TG_ADMIN_TOKEN_H

#include "base/error.h"

#define TG_TOKEN_SIZE 64 ///< hex digits of 32 random bytes

/// In the order of what they may do: each may do what the ones before it may.
typedef enum tg_role {
    TG_ROLE_NONE,
    TG_ROLE_VIEWER,
    TG_ROLE_OPERATOR,
    TG_ROLE_ADMIN
} tg_role;

const char *tg_role_name(tg_role role);

/// Reads the token in `path`; without such a file makes one, readable by its owner alone. A
/// file that others can read is refused.
int tg_token_open(const char *path, char out[TG_TOKEN_SIZE + 1], tg_error *e);

/// Compares in a time that depends on the lengths alone.
bool tg_token_eq(tg_slice a, tg_slice b);

#endif
