// SPDX-License-Identifier: Apache-2.0
// A terminal that authenticated sends any bytes: as they are, or messages made of them with
// right lengths and checksums, in packets, in either header, in several configurations and all
// adapters of the plugin; or any bytes are a command for it, which such messages may answer. No
// script fails.
// covers: protocols/jt808/*.lua
#include "adapter.h"

static bool planted(tg_slice event)
{
    return has(event, "{\"event\":\"message\"") && has(event, "emergency") &&
           has(event, "satellites");
}

#define ANY                                                                                \
    "\"allow\":[\"*\"],\"logins_per_minute\":1000000000,\"resend_tries\":1,"               \
    "\"reassembly\":20000"
#define PHONE "013800138000"
static const char *const configs[] = {
    "{" ANY "}",
    "{" ANY ",\"payload\":\"emqx\",\"edition\":\"2019\"}",
    "{" ANY ",\"vendor\":\"gps51\",\"lenient_length\":true,\"media\":\"hex\"}",
    "{" ANY ",\"vendor\":\"obd\",\"before_auth\":\"accept\",\"edition\":\"2011\"}",
    "{" ANY ",\"media\":\"binary\"}",
    "{" ANY ",\"codes\":{\"" PHONE "\":\"code\"},\"auth\":\"strict\",\"packet_size\":16,"
    "\"encrypt_down\":true,\"headers\":{\"" PHONE "\":\"2019\"},\"commands_in_flight\":1}",
    "{" ANY ",\"terminate_strings\":[\"*\"],\"vendors\":{\"" PHONE "\":\"list_eb\"},"
    "\"server_time\":\"local\",\"models\":{\"MODEL\":\"sensors\"}}",
};
static const char *const adapters[] = {
    "jt808", "jt808",           "jt808", "jt808-concentrator", "jt808-attachments",
    "jt808", "jt808-unchecked",
};
_Static_assert(sizeof(configs) == sizeof(adapters), "an adapter for each");
static fuzz_adapter adapter = {.path = "protocols/jt808",
                               .configs = configs,
                               .adapters = adapters,
                               .nconfigs = sizeof(configs) / sizeof(configs[0]),
                               .planted = planted};

enum {
    V2019 = 1,
    PACKET = 2,
    ENCRYPTED = 4,
    OTHER_PHONE = 8
}; // bits of a message's first byte

static void put_escaped(tg_buf *out, const tg_buf *bytes)
{
    tg_buf_putc(out, '~');
    for (size_t i = 0; i < bytes->len; i++) {
        char c = bytes->at[i];
        if (c == '~' || c == '}')
            tg_buf_putc(out, '}');
        tg_buf_putc(out, c == '~' ? 2 : c == '}' ? 1 : c);
    }
    tg_buf_putc(out, '~');
}

static void put_word(tg_buf *b, unsigned n)
{
    tg_buf_putc(b, (char)(n >> 8));
    tg_buf_putc(b, (char)n);
}

/// @param total_number the two bytes behind a packet's message, a nibble each of one
static void put_message(tg_buf *out, unsigned id, unsigned how, unsigned serial,
                        unsigned total_number, tg_slice body)
{
    tg_buf b = {0};
    char sum = 0;
    put_word(&b, id);
    put_word(&b, (unsigned)body.len | (how & V2019 ? 0x4000u : 0) |
                     (how & PACKET ? 0x2000u : 0) | (how & ENCRYPTED ? 0x400u : 0));
    if (how & V2019)
        tg_buf_put(&b, "\1\0\0\0\0", 5);
    tg_buf_put(&b, how & OTHER_PHONE ? "\2\x38\0\x13\x80\1" : "\1\x38\0\x13\x80\0", 6);
    put_word(&b, serial);
    if (how & PACKET) {
        put_word(&b, total_number >> 4);
        put_word(&b, total_number & 15);
    }
    tg_buf_put(&b, body.at, body.len);
    for (size_t i = 0; i < b.len; i++)
        sum = (char)(sum ^ b.at[i]);
    tg_buf_putc(&b, sum);
    put_escaped(out, &b);
    tg_buf_free(&b);
}

/// Messages: how, id (2), total and number, length (2), body.
static void put_messages(tg_buf *out, const uint8_t *at, size_t left)
{
    for (unsigned serial = 2; left >= 6; serial++) {
        size_t n = (size_t)(at[4] << 8 | at[5]) & 0x3FF;
        unsigned id = (unsigned)(at[1] << 8 | at[2]);
        n = n < left - 6 ? n : left - 6;
        put_message(out, id, at[0], serial, at[3], (tg_slice){(const char *)at + 6, n});
        at += 6 + n;
        left -= 6 + n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/// Commands, one a line.
static void deliver(tg_slice commands)
{
    while (commands.len > 0) {
        const char *stop = memchr(commands.at, '\n', commands.len);
        tg_slice one = {commands.at,
                        stop != NULL ? (size_t)(stop - commands.at) : commands.len};
        tg_offline_deliver(adapter.o, PHONE, TG_LIT("jt808/" PHONE "/down"), one, 1);
        const size_t used = one.len + (stop != NULL);
        commands = (tg_slice){commands.at + used, commands.len - used};
    }
}

/// The first two bits: raw bytes, messages, commands, or commands (their length in a word) and
/// then messages. The third: it leaves at once.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4)
        return 0;
    const unsigned how = data[0] & 3;
    const size_t piece = data[1] > 0 ? data[1] * 8u : 1u << 16;
    tg_slice rest = {(const char *)data + 2, size - 2}, commands = {0};
    if (how == 3) {
        size_t n = (size_t)(data[2] << 8 | data[3]);
        commands = (tg_slice){rest.at + 2, n < rest.len - 2 ? n : rest.len - 2};
        rest = (tg_slice){commands.at + commands.len, rest.len - 2 - commands.len};
    }
    tg_buf login = {0}, stream = {0};
    int conn = begin(&adapter);
    put_message(&login, 0x0102, 0, 1, 0, TG_LIT("code"));
    if (how & 1)
        put_messages(&stream, (const uint8_t *)rest.at, rest.len);
    else if (how == 0)
        tg_buf_put(&stream, rest.at, rest.len);
    feed(&adapter, conn, tg_buf_slice(&login), piece);
    if (how & 2)
        deliver(how == 3 ? commands : rest);
    feed(&adapter, conn, tg_buf_slice(&stream), piece);
    if (data[0] & 4)
        tg_offline_hangup(adapter.o, conn);
    else
        end(&adapter, conn);
    tg_buf_free(&login);
    tg_buf_free(&stream);
    return 0;
}
