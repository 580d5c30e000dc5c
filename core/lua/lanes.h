// SPDX-License-Identifier: Apache-2.0
/// What runs on a connection's lanes.
#ifndef TG_LUA_LANES_H
#define TG_LUA_LANES_H

#include "lua/conn.h"

/// Runs handler `h` with the connection (and `options` for on_open), now: the lane is free
/// and nothing runs.
void tg_lane_event(tg_lane *lane, tg_handler h, const tg_value *options);
void tg_lane_frame(tg_lconn *c, tg_slice frame);
/// The lane is taken, though it was paused: copies the frame for later.
void tg_lane_keep_frame(tg_lconn *c, tg_slice frame, bool damaged);
/// A frame with a wrong checksum goes to on_damaged as it is.
void tg_lane_damaged(tg_lconn *c, tg_slice frame);
/// No data until the lane is free.
void tg_lane_hold(tg_lconn *c);
static inline bool tg_lane_is_free(const tg_lane *lane)
{
    return lane->busy == NULL && tg_list_empty(&lane->ready);
}
int64_t tg_lane_data(tg_lconn *c, tg_slice data);
void tg_lane_downlink(tg_lane *lane, tg_session s, const tg_delivery *d);
tg_lane *tg_lane_of_session(tg_lconn *c, tg_session s);
/// The lane of `device`, made when there is none. NULL when out of memory.
tg_lane *tg_lane_of_device(tg_lconn *c, tg_slice device);
/// A task of this lane, which is taken by it; conn and lane are set, the connection is
/// pushed behind the handler's function. NULL when out of memory.
tg_task *tg_lane_task(tg_lane *lane, const char *what, uint32_t budget_us);
/// Gives one message on the top of `L` (popped) to the lane of its device.
void tg_lane_message(tg_lconn *c, lua_State *L);
/// One more job waits on this connection; at the bound its socket is not read.
void tg_lane_queued(tg_lconn *c);

// frames.c: the C function that decodes a frame and handles its messages in one go.
int tg_frame_main(lua_State *L);

// command.c
/// Names of the functions in M.commands, in order, in the script's arena; NULL: none.
const char *const *tg_command_names(tg_script *s, const tg_app *app);
int tg_adapter_command(tg_conn handle, void *state, tg_session session,
                       const tg_command *cmd, tg_op op);

// adapter.c
tg_lconn *tg_adapter_conn(void *state); ///< what the host carries; NULL once closed

// explain.c
int tg_adapter_annotate(const tg_adapter *self, tg_slice bytes,
                        void (*emit)(void *ctx, const tg_field_note *note), void *ctx);

/// A tg_adapter's on_away (events.c).
void tg_adapter_away(const tg_adapter *self, tg_slice device, tg_msg m, int reason);

#endif
