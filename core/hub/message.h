// SPDX-License-Identifier: Apache-2.0
/// Blocks behind messages: how a message crosses workers.
#ifndef TG_HUB_MESSAGE_H
#define TG_HUB_MESSAGE_H

#include <stdatomic.h>

#include "hub/origin.h"
#include "tidegate/message.h"

/// One allocation for the message's fields and bytes. Counted once per worker that holds an
/// envelope of it, once per mail that carries it, and once where it is retained.
typedef struct tg_block tg_block;

/// @return the block, with a reference of its own for whoever carries it.
tg_block *tg_msg_block(tg_msg m);
/// An envelope of `b` for this worker. @owner takes over the caller's reference of `b`.
/// @return NULL when out of memory; then the reference is given back.
tg_msg tg_msg_from_block(tg_block *b);
tg_block *tg_block_ref(tg_block *b);
void tg_block_unref(tg_block *b);
const tg_message *tg_block_message(const tg_block *b);
size_t tg_block_bytes(const tg_block *b); ///< of memory

/// The count of retained stores at which this one was kept; set before it is shared.
uint64_t tg_block_retained_seq(const tg_block *b);
void tg_block_set_retained_seq(tg_block *b, uint64_t seq);

/// Stamps a message that its maker now publishes: when, until when, by whom. A message that
/// was published before is immutable: then a copy is made.
/// @return a reference for the caller, NULL when out of memory.
tg_msg tg_msg_publish(tg_msg m, uint64_t now, uint64_t origin);
/// Before it is shared. @owner takes its own reference.
void tg_msg_set_origin(tg_msg m, tg_origin *o);
tg_origin *tg_msg_origin(tg_msg m); ///< NULL: none that matters
/// As it was published before: restored from the store.
tg_msg tg_msg_restore(const tg_msg_spec *spec, uint64_t created, uint64_t expires);

#endif
