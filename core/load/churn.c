// SPDX-License-Identifier: Apache-2.0
// Clients as they are in the field: each stays for a random time, then leaves with a word or
// without one, and comes back to its session. The line may break with a FIN or with a reset.
#include <sys/socket.h>

#include "base/map.h"
#include "load/engine.h"

enum { LOOK_NS = 1000000 };

uint64_t tg_churn_next(uint64_t mean_ms)
{
    uint64_t mean = mean_ms * 1000000;
    return tg_now_ns() + (mean > 0 ? tg_random() % (2 * mean) : 0);
}

static void leave(tg_crew *c, tg_peer *p)
{
    if (tg_random() % 100 >= c->o->unclean) {
        tg_wire_bare(&p->out, TG_WIRE_DISCONNECT);
        tg_peer_flush(c, p);
        c->left++;
    } else {
        if (tg_random() % 2 == 0) { // a reset: what is under way is gone
            struct linger now = {.l_onoff = 1};
            setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
        }
        c->cut++;
    }
    tg_peer_close(c, p);
}

static bool goes_on(const tg_crew *c)
{
    bool hold = atomic_load_explicit(&c->run->hold, memory_order_relaxed);
    return c->sending && !hold && (c->o->count == 0 || tg_peek(&c->sent) < c->quota);
}

/// Once everything is sent nobody leaves any more and everybody comes back, so that what is
/// due can arrive.
void tg_churn_turn(tg_crew *c)
{
    uint64_t now = tg_now_ns();
    if (now - c->looked < LOOK_NS)
        return;
    c->looked = now;
    bool leaves = goes_on(c);
    for (uint32_t i = 0; i < c->npeers; i++) {
        tg_peer *p = c->peers[i];
        if (p->due > now)
            continue;
        if (p->state == TG_PEER_CLOSED) {
            tg_peer_open(c, p);
        } else if (p->state != TG_PEER_READY) {
            tg_crew_error(c, "connect: timed out");
            tg_peer_close(c, p);
        } else if (leaves) {
            leave(c, p);
        }
    }
}
