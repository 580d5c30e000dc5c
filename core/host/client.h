// SPDX-License-Identifier: Apache-2.0
/// The CLI's way to the running host: its REST API, through libcurl.
#ifndef TG_HOST_CLIENT_H
#define TG_HOST_CLIENT_H

#include "base/value.h"
#include "host/cli.h"

typedef struct tg_client tg_client;

typedef struct tg_answer {
    long status;
    tg_buf body;
    tg_arena arena;
    tg_value json; ///< of the body, where it is JSON
} tg_answer;

/// Finds the host and its token: --host and --token-file, $TIDEGATE_HOST and
/// $TIDEGATE_TOKEN_FILE, what --config says, what the host left in its state folder.
/// @return an exit code; not 0 was said on stderr.
int tg_client_open(const tg_cli *cli, tg_client **out);
void tg_client_free(tg_client *c);
const char *tg_client_address(const tg_client *c);

/// One call below /api/v1. @param body JSON; NULL none. @return an exit code: an answer that
/// is an error is shown (as JSON with --json) and gives TG_EXIT_FAILED.
int tg_client_call(tg_client *c, const char *method, const char *path, const tg_buf *body,
                   tg_answer *out);
/// The same, and says nothing when the host cannot be reached.
int tg_client_try(tg_client *c, const char *method, const char *path, const tg_buf *body,
                  tg_answer *out);
void tg_answer_free(tg_answer *a);

/// Reads lines as they come, until `line` returns false or the host ends.
int tg_client_stream(tg_client *c, const char *path,
                     bool (*line)(void *ctx, const tg_value *json, tg_slice text),
                     void *ctx);

/// Appends `text`, escaped, as one segment of a path or one value of a query.
void tg_client_escape(tg_client *c, tg_buf *path, tg_slice text);

#endif
