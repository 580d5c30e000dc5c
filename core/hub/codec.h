// SPDX-License-Identifier: Apache-2.0
/// How the hub's things look in a store. Numbers are big-endian, so that keys sort by them.
///
/// | key                                | value                                     |
/// |------------------------------------|-------------------------------------------|
/// | "s" id                             | session: expiry, since, connected, user,  |
/// |                                    | attributes                                |
/// | "u" id filter                      | subscription: QoS, flags, identifier      |
/// | "q" id number:u64                  | message that waits or is in the window    |
/// | "m" id number:u64                  | what the peer knows of it: TG_ENTRY_*     |
/// | "x" id packet_id:u16               | QoS 2 packet id received from the peer:   |
/// |                                    | number of its publish; id 0: all up to    |
/// |                                    | that number are safe                      |
/// | "h" id number:u64 publisher        | had a message whose publisher may send it |
/// |                                    | again: packet id                          |
/// | "r" topic                          | retained message                          |
///
/// `id` is the client id with its length (u16) in front, so no id is the beginning of another.
#ifndef TG_HUB_CODEC_H
#define TG_HUB_CODEC_H

#include "hub/internal.h"

enum {
    TG_KEY_SESSION = 's',
    TG_KEY_SUB = 'u',
    TG_KEY_ENTRY = 'q',
    TG_KEY_MARK = 'm',
    TG_KEY_RX = 'x',
    TG_KEY_HAD = 'h',
    TG_KEY_RETAINED = 'r',
};

/// Bytes being read; after a read past the end it is marked and gives zeros.
typedef struct tg_reader {
    const unsigned char *at, *end;
    bool failed;
} tg_reader;

static inline tg_reader tg_reader_of(tg_slice s)
{
    const unsigned char *at = (const unsigned char *)s.at;
    return (tg_reader){at, at + s.len, false};
}
uint64_t tg_read_uint(tg_reader *r, unsigned width);
tg_slice tg_read_bytes(tg_reader *r, size_t len);
static inline size_t tg_reader_left(const tg_reader *r)
{
    return (size_t)(r->end - r->at);
}

void tg_put_uint(tg_buf *b, uint64_t n, unsigned width);
void tg_put_id(tg_buf *b, char kind, const tg_sess *s);
void tg_put_session(tg_buf *b, const tg_sess *s);
void tg_put_sub(tg_buf *b, const tg_route *r);
void tg_put_entry(tg_buf *b, const tg_entry *e);
void tg_put_had(tg_buf *b, const tg_origin *o);
void tg_put_message(tg_buf *b, const tg_message *m);

/// Leaves `online` as it was when that was written.
bool tg_get_session(tg_reader *r, tg_whos *whos, tg_sess *s);
bool tg_get_sub(tg_reader *r, tg_sub *out);
/// Which publish of its publisher's a message is; 0 and 0 where that is no question.
typedef struct tg_publish_id {
    uint16_t packet_id;
    uint64_t seq;
} tg_publish_id;
/// @owner `out` is the caller's, with its message. @return false: malformed or out of memory.
bool tg_get_entry(tg_reader *r, tg_entry *out, tg_publish_id *from);
bool tg_get_had(tg_reader *r, uint16_t *packet_id);
tg_msg tg_get_message(tg_reader *r); ///< NULL: malformed or out of memory

#endif
