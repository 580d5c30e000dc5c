// SPDX-License-Identifier: Apache-2.0
// Layouts alone: a GT06 location frame and a JT/T 808 position report with additional items,
// decoded to a tape, and on to JSON.
#include "codec/layout.h"

#include "inproc.h"

enum { ROUNDS = 400000 };

typedef struct sample {
    const char *name;
    double promised; // decodes a second
    const char *layout;
    tg_slice bytes;
} sample;

#define BYTES(literal)                                                                     \
    {                                                                                      \
        (literal), sizeof(literal) - 1                                                     \
    }

static const sample samples[] = {
    {"GT06 location", 800000,
     "time:time6 gps_length:u8 lat:u32be / 1800000 minus course !& 0x0400 "
     "lon:u32be / 1800000 minus course & 0x0800 speed:u8 course:u16be "
     "mcc:u16be mnc:u8 lac:u16be cell:u24be",
     BYTES("\x1a\x0b\x18\x08\x00\x05\xc9\x02\x6b\x3f\x3e\x0c\x22\xad\x65\x3c\x14\x8f"
           "\x01\xcc\x00\x28\x7d\x00\x1f\xb8")},
    {"JT/T 808 position", 0,
     "alarm:u32be status:u32be lat:u32be / 1000000 lon:u32be / 1000000 altitude:u16be "
     "speed:u16be / 10 course:u16be time:bcdtime mileage_id:u8 mileage_size:u8 "
     "mileage:u32be / 10 "
     "fuel_id:u8 fuel_size:u8 fuel:u16be / 10 signal_id:u8 signal_size:u8 signal:u8 "
     "satellites_id:u8 satellites_size:u8 satellites:u8",
     BYTES("\0\0\0\0\0\0\0\x0c\x01\x57\x40\xf9\x06\xca\x12\xa5\0\x2b\x02\x58\0\x5a"
           "\x26\x11\x24\x08\0\x05\x01\x04\0\x01\xe2\x40\x02\x02\x01\x90\x30\x01\x1f\x31"
           "\x01\x0b")},
};

static double decodes(const tg_layout *l, tg_tape *tape, tg_slice bytes, tg_buf *json)
{
    tg_error e = {0};
    size_t next;
    double began = thread_seconds();
    for (int i = 0; i < ROUNDS; i++) {
        if (tg_layout_decode(l, bytes, 0, NULL, tape, &next, &e) < 0)
            fail("decode", &e);
        if (json == NULL)
            continue;
        tg_buf_clear(json);
        if (tg_tape_json(l, tape, bytes, json) < 0)
            fail("json", NULL);
    }
    return ROUNDS / (thread_seconds() - began);
}

static void measure(const sample *s, tg_tape *tape)
{
    tg_layout *l;
    tg_error e = {0};
    tg_buf json = {0};
    char name[64];
    if (tg_layout_compile(tg_str(s->layout), &l, &e) < 0)
        fail(s->name, &e);
    decodes(l, tape, s->bytes, &json); // warm
    fprintf(stderr, "%.*s\n", (int)json.len, json.at);
    snprintf(name, sizeof(name), "layout: %s decoded", s->name);
    result(name, decodes(l, tape, s->bytes, NULL), "/s", s->promised, "more");
    snprintf(name, sizeof(name), "layout: %s to JSON", s->name);
    result(name, decodes(l, tape, s->bytes, &json), "/s", s->promised, "more");
    tg_buf_free(&json);
    tg_layout_unref(l);
}

int main(void)
{
    tg_tape *tape = tg_tape_new();
    for (size_t i = 0; i < sizeof(samples) / sizeof(*samples); i++)
        measure(&samples[i], tape);
    tg_tape_free(tape);
    return 0;
}
