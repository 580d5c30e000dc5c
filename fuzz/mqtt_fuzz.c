// SPDX-License-Identifier: Apache-2.0
// A connection on a host made of arrays takes any bytes in any pieces, with answers at once or
// later, and gives back all memory.
// covers: protocols/mqtt/wire.c protocols/mqtt/props.c protocols/mqtt/packet.c protocols/mqtt/encode.c protocols/mqtt/conn.c protocols/mqtt/connect.c protocols/mqtt/publish.c protocols/mqtt/subscribe.c protocols/mqtt/deliver.c protocols/mqtt/alias.c protocols/mqtt/out.c protocols/mqtt/annotate.c
#include "../spec/protocols/mqtt/fake_host.h"
#include "planted.h"

enum { LATER = 4, TIGHT = 8, REFUSE = 16, HANG_UP = 32 }; // bits of the first byte

static const struct {
    const char *bytes;
    size_t len;
} GREETINGS[] = {
    {"", 0},
    {"\x10\x0f\0\4MQTT\5\2\0\x3c\0\0\2id", 17},
    {"\x10\x0e\0\4MQTT\4\2\0\x3c\0\2id", 16},
    {"\x10\x12\0\4MQTT\5\2\0\x3c\3\x22\0\2\0\2id", 20},
};

static void feed(tg_conn c, const uint8_t *at, size_t len, size_t piece)
{
    size_t from = 0;
    for (size_t to = 0; to < len && !fake.conns[0].closed;) {
        to = len - to < piece ? len : to + piece;
        int64_t used = fake_bytes(c, at + from, to - from);
        assert(used >= 0 && (size_t)used <= to - from);
        from += (size_t)used;
        if (fake.conns[0].paused)
            fake_answer();
    }
}

static void deliver(tg_conn c)
{
    static const uint32_t IDS[] = {7};
    if (fake.published == NULL || fake.conns[0].closed)
        return;
    for (uint8_t qos = 0; qos < 3; qos++) {
        const tg_delivery d = {.size = sizeof(d),
                               .qos = qos,
                               .packet_id = qos,
                               .msg = &fake.published->m,
                               .nsub_ids = qos == 2,
                               .sub_ids = IDS,
                               .expiry_s = qos};
        mqtt_on_deliver(c, fake.conns[0].state, (tg_session){1}, &d);
    }
    PLANTED(fake.published->m.props.len > 4 && fake.nsubscribed > 0);
}

static void emit(void *ctx, const tg_field_note *note)
{
    const tg_slice *all = (const tg_slice *)ctx;
    assert(note->offset <= all->len && note->length <= all->len - note->offset);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    uint8_t how = data[0];
    tg_slice all = {(const char *)data + 2, size - 2};
    mqtt_annotate(NULL, all, emit, &all);
    fake_start(NULL);
    tg_conn c = fake_connect(NULL);
    const uint8_t *greeting = (const uint8_t *)GREETINGS[how & 3].bytes;
    feed(c, greeting, GREETINGS[how & 3].len, SIZE_MAX);
    fake.later = (how & LATER) != 0;
    fake.conns[0].write_max = (how & TIGHT) != 0 ? 64 : 0;
    fake.publish_code = (how & REFUSE) != 0 ? TG_E_FULL : 0;
    feed(c, data + 2, size - 2, data[1] == 0 ? SIZE_MAX : data[1]);
    deliver(c);
    fake.conns[0].write_max = 0;
    mqtt_on_writable(c, fake.conns[0].state);
    if ((how & HANG_UP) == 0)
        fake_answer();
    int64_t left = fake_stop();
    assert(left == 0);
    (void)left;
    return 0;
}
