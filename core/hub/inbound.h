// SPDX-License-Identifier: Apache-2.0
/// What a session knows of messages that must come once: as a publisher the packet ids that it
/// holds and what is under way for them, as a subscriber what it had before a restart.
#ifndef TG_HUB_INBOUND_H
#define TG_HUB_INBOUND_H

#include "hub/internal.h"
#include "hub/origin.h"

struct tg_inbound {
    uint16_t n, cap;
    uint16_t *ids; ///< packet ids of QoS 2 received, ascending
    tg_list open; ///< tg_origin: their ids are not known to be safe; ascending numbers
    uint32_t nopen;
    uint32_t nagain; ///< of those, from before a restart
    tg_origin *
        *by_id; ///< heads of lists, by the low bits of packet ids; NULL: they are few
    uint32_t nby_id; ///< power of two
    uint32_t nhad, had_cap;
    tg_origin **had; ///< got before a restart, and may come again
    tg_had *records; ///< restored: for the shard that adopts it
    uint64_t seq; ///< the last number given; 0 none
    uint64_t kept; ///< up to here ids are safe
};

tg_inbound *tg_inbound_of(tg_sess *s); ///< made when there is none; NULL: out of memory
void tg_inbound_free(tg_inbound *in); ///< NULL is fine
/// A restored session has come to its shard: it keeps one only if it needs it.
void tg_inbound_adopt(tg_shard *sh, tg_sess *s);

int tg_inbound_put(tg_sess *s, uint16_t packet_id);
bool tg_inbound_is_open(const tg_inbound *in, uint16_t packet_id); ///< not known to be safe
bool tg_inbound_holds(const tg_sess *s, uint16_t packet_id);
/// The id of a publish that all receivers have is written, and that it is up to there.
void tg_inbound_keep(tg_shard *sh, tg_sess *s, const tg_origin *o);
uint64_t tg_inbound_kept(tg_shard *sh, const tg_sess *s); ///< for its first record
/// It is safe: nobody needs to remember its origin.
void tg_inbound_settle(tg_sess *s, tg_origin *o);

/// What became of a publish is not known yet: `seq` of a publisher's before a restart.
/// @return a reference for the caller; NULL: its id is safe, or out of memory.
tg_origin *tg_inbound_restore(tg_sess *publisher, uint16_t packet_id, uint64_t seq);
/// @param packet_id 0: all up to `seq` are safe. @return false: out of memory.
bool tg_inbound_restore_id(tg_sess *s, uint16_t packet_id, uint64_t seq);
/// @param o NULL: the message will not come again, and the record can go.
bool tg_inbound_restore_record(tg_sess *s, tg_slice key, tg_origin *o);
bool tg_inbound_restore_had(tg_sess *s, tg_origin *o); ///< @owner takes its own reference
/// A message comes that some have. @return true: `s` is one of them, and now all is said.
bool tg_inbound_had(tg_sess *s, const tg_origin *o);

#endif
