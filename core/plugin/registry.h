// SPDX-License-Identifier: Apache-2.0
/// What versions offer, by kind and id. A seat is made once for an id and never goes; who sits
/// on it changes worker by worker when a version is committed, which cannot fail.
#ifndef TG_PLUGIN_REGISTRY_H
#define TG_PLUGIN_REGISTRY_H

#include "codec/frame.h"
#include "plugin/version.h"

typedef enum tg_offer_kind {
    TG_OFFER_ADAPTER = 'a',
    TG_OFFER_AUTH = 'u',
    TG_OFFER_STORE = 's',
    TG_OFFER_DRIVER = 'd',
} tg_offer_kind;

#define TG_OFFER_MAGIC 0x0ffe2000u
#define TG_FRAMES_MAX 16 ///< forms of one adapter

typedef struct tg_offer {
    uint32_t magic;
    uint8_t kind;
    tg_list node; ///< in version.offers or .privates
    tg_version *self;
    const void *given; ///< as registered
    void (*destroy)(void *arg);
    void *arg;
    char id[64];
    tg_seat *seat;
    union { ///< grown to the size that this host knows
        tg_adapter adapter;
        tg_auth_backend auth;
        tg_store store;
        tg_driver driver;
    };
    tg_frame *frames; ///< the adapter's, grown to the size that this host knows
    tg_framer *framer; ///< adapters with frames
    tg_list clipped; ///< framers for listeners with a smaller frame limit
    tg_net_events dial; ///< events of outgoing connections
} tg_offer;

struct tg_seat {
    char key[72]; ///< kind, then the id
    tg_offer *control; ///< under runtime.lock
    tg_offer *at[TG_WORKERS_MAX]; ///< each read and written on its worker
};

/// The seat for an id, made when it is missing. Any thread. NULL: out of memory.
tg_seat *tg_seat_get(tg_runtime *rt, tg_offer_kind kind, tg_slice id);
/// Any thread: the one who sits there now, held; NULL none.
tg_offer *tg_seat_hold(tg_runtime *rt, tg_offer_kind kind, tg_slice id);
/// On a worker: NULL when nothing was ever offered under that id.
tg_seat *tg_seat_find(tg_local *here, tg_offer_kind kind, tg_slice id);
void tg_seats_free(tg_runtime *rt);

/// @return the adapter that version `v` calls `a`; made on the fly for one that it only dials.
tg_offer *tg_offer_of(tg_version *v, const tg_adapter *a);
/// The framer of `o` for frames of at most `max` bytes. NULL: out of memory, or raw.
tg_framer *tg_offer_framer(tg_offer *o, uint32_t max);
/// Takes an array of structs as large as the plugin knows them. @return 0; TG_E_INVAL: no size.
int tg_frames_take(const tg_frame *first, uint32_t n, tg_frame *out);
/// Ids of plugins and of what they offer: letters, digits, '-', '_', '.'.
bool tg_id_valid(tg_slice id, size_t max);
void tg_offers_free(tg_version *v); ///< in reverse, running destructors

extern const tg_register_api tg_register_table;

#endif
