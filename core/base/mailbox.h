// SPDX-License-Identifier: Apache-2.0
/// The only way between threads: many senders, one receiver, in two lanes. Control mails are
/// always taken and never wait behind data; the data lane has a bound in bytes, at which its
/// senders are told to hold. Order between two given threads is kept within a lane.
#ifndef TG_BASE_MAILBOX_H
#define TG_BASE_MAILBOX_H

#include <stdatomic.h>

#include "tidegate/types.h"

/// Lives in its sender's allocation; the receiver's `run` frees it or passes it on.
typedef struct tg_mail {
    _Atomic(struct tg_mail *) next;
    void (*run)(struct tg_mail *m, void *receiver); ///< on the receiving thread
    uint32_t bytes; ///< what it weighs in the data lane; set before sending
} tg_mail;

typedef struct tg_mailbox tg_mailbox;

/// @param wake called by a sender, from its thread, when the receiver may be asleep.
tg_mailbox *tg_mailbox_new(size_t data_limit, void (*wake)(void *ctx), void *ctx);
void tg_mailbox_free(tg_mailbox *b);

/// Any thread. Never refused.
void tg_mailbox_control(tg_mailbox *b, tg_mail *m);
/// Any thread. Always taken, too: what is on its way must arrive. @return false when the lane
/// is past its limit now: the sender should pause its source until tg_mailbox_low().
bool tg_mailbox_data(tg_mailbox *b, tg_mail *m);
/// Any thread. @return the lane is below half its limit.
bool tg_mailbox_low(const tg_mailbox *b);

/// The receiver: runs what waits, control first, at most `budget` data mails.
/// @return true when data mails are left: come back in the next turn.
bool tg_mailbox_drain(tg_mailbox *b, void *receiver, unsigned budget);

#endif
