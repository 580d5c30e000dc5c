// SPDX-License-Identifier: Apache-2.0
// Every frame that comes or goes is summed, so the CRCs take four or eight bytes a step from
// tables ("slicing"). A CRC table is linear: entry i is the XOR of the entries of its bits. So
// a table is written here as its eight one-bit entries and the compiler makes the rest.
#include "codec/frame.h"

#define BIT(i, b, t) ((((i) >> (b)) & 1) ? (t) : 0)
#define ENTRY(i, a, b, c, d, e, f, g, h)                                                   \
    (BIT(i, 0, a) ^ BIT(i, 1, b) ^ BIT(i, 2, c) ^ BIT(i, 3, d) ^ BIT(i, 4, e) ^            \
     BIT(i, 5, f) ^ BIT(i, 6, g) ^ BIT(i, 7, h))
#define ROW4(i, ...)                                                                       \
    ENTRY((i), __VA_ARGS__), ENTRY((i) + 1, __VA_ARGS__), ENTRY((i) + 2, __VA_ARGS__),     \
        ENTRY((i) + 3, __VA_ARGS__)
#define ROW16(i, ...)                                                                      \
    ROW4((i), __VA_ARGS__), ROW4((i) + 4, __VA_ARGS__), ROW4((i) + 8, __VA_ARGS__),        \
        ROW4((i) + 12, __VA_ARGS__)
#define ROW64(i, ...)                                                                      \
    ROW16((i), __VA_ARGS__), ROW16((i) + 16, __VA_ARGS__), ROW16((i) + 32, __VA_ARGS__),   \
        ROW16((i) + 48, __VA_ARGS__)
#define TABLE(...)                                                                         \
    {                                                                                      \
        ROW64(0, __VA_ARGS__), ROW64(64, __VA_ARGS__), ROW64(128, __VA_ARGS__),            \
            ROW64(192, __VA_ARGS__)                                                        \
    }

// clang-format off
static const uint16_t MODBUS[4][256] = { // 0x8005 reflected
    TABLE(0xC0C1, 0xC181, 0xC301, 0xC601, 0xCC01, 0xD801, 0xF001, 0xA001),
    TABLE(0x9001, 0x6001, 0xC002, 0xC007, 0xC00D, 0xC019, 0xC031, 0xC061),
    TABLE(0xC051, 0xC0A1, 0xC141, 0xC281, 0xC501, 0xCA01, 0xD401, 0xE801),
    TABLE(0xFC01, 0xB801, 0x3001, 0x6002, 0xC004, 0xC00B, 0xC015, 0xC029)};

static const uint16_t X25[4][256] = { // 0x1021 reflected
    TABLE(0x1189, 0x2312, 0x4624, 0x8C48, 0x1081, 0x2102, 0x4204, 0x8408),
    TABLE(0x19D8, 0x33B0, 0x6760, 0xCEC0, 0x9591, 0x2333, 0x4666, 0x8CCC),
    TABLE(0x5ADC, 0xB5B8, 0x6361, 0xC6C2, 0x8595, 0x033B, 0x0676, 0x0CEC),
    TABLE(0x1CBB, 0x3976, 0x72EC, 0xE5D8, 0xC3A1, 0x8F53, 0x16B7, 0x2D6E)};

static const uint16_t CCITT[4][256] = { // 0x1021, high bit first
    TABLE(0x1021, 0x2042, 0x4084, 0x8108, 0x1231, 0x2462, 0x48C4, 0x9188),
    TABLE(0x3331, 0x6662, 0xCCC4, 0x89A9, 0x0373, 0x06E6, 0x0DCC, 0x1B98),
    TABLE(0x3730, 0x6E60, 0xDCC0, 0xA9A1, 0x4363, 0x86C6, 0x1DAD, 0x3B5A),
    TABLE(0x76B4, 0xED68, 0xCAF1, 0x85C3, 0x1BA7, 0x374E, 0x6E9C, 0xDD38)};

static const uint32_t CRC32[8][256] = { // 0x04C11DB7 reflected
    TABLE(0x77073096u, 0xEE0E612Cu, 0x076DC419u, 0x0EDB8832u, 0x1DB71064u, 0x3B6E20C8u, 0x76DC4190u, 0xEDB88320u),
    TABLE(0x191B3141u, 0x32366282u, 0x646CC504u, 0xC8D98A08u, 0x4AC21251u, 0x958424A2u, 0xF0794F05u, 0x3B83984Bu),
    TABLE(0x01C26A37u, 0x0384D46Eu, 0x0709A8DCu, 0x0E1351B8u, 0x1C26A370u, 0x384D46E0u, 0x709A8DC0u, 0xE1351B80u),
    TABLE(0xB8BC6765u, 0xAA09C88Bu, 0x8F629757u, 0xC5B428EFu, 0x5019579Fu, 0xA032AF3Eu, 0x9B14583Du, 0xED59B63Bu),
    TABLE(0x3D6029B0u, 0x7AC05360u, 0xF580A6C0u, 0x30704BC1u, 0x60E09782u, 0xC1C12F04u, 0x58F35849u, 0xB1E6B092u),
    TABLE(0xCB5CD3A5u, 0x4DC8A10Bu, 0x9B914216u, 0xEC53826Du, 0x03D6029Bu, 0x07AC0536u, 0x0F580A6Cu, 0x1EB014D8u),
    TABLE(0xA6770BB4u, 0x979F1129u, 0xF44F2413u, 0x33EF4E67u, 0x67DE9CCEu, 0xCFBD399Cu, 0x440B7579u, 0x8816EAF2u),
    TABLE(0xCCAA009Eu, 0x4225077Du, 0x844A0EFAu, 0xD3E51BB5u, 0x7CBB312Bu, 0xF9766256u, 0x299DC2EDu, 0x533B85DAu)};
// clang-format on

static uint32_t xor8(const uint8_t *p, size_t n)
{
    uint8_t x = 0;
    for (size_t i = 0; i < n; i++)
        x = (uint8_t)(x ^ p[i]);
    return x;
}

static uint32_t sum8(const uint8_t *p, size_t n)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += p[i];
    return sum & 0xFF;
}

static uint32_t reflected16(const uint16_t t[4][256], uint32_t crc, const uint8_t *p,
                            size_t n)
{
    for (; n >= 4; n -= 4, p += 4)
        crc = t[3][(crc ^ p[0]) & 0xFF] ^ t[2][((crc >> 8) ^ p[1]) & 0xFF] ^ t[1][p[2]] ^
              t[0][p[3]];
    for (; n > 0; n--, p++)
        crc = t[0][(crc ^ *p) & 0xFF] ^ (crc >> 8);
    return crc;
}

static uint32_t ccitt16(uint32_t crc, const uint8_t *p, size_t n)
{
    for (; n >= 4; n -= 4, p += 4)
        crc = CCITT[3][(crc >> 8) ^ p[0]] ^ CCITT[2][(crc & 0xFF) ^ p[1]] ^ CCITT[1][p[2]] ^
              CCITT[0][p[3]];
    for (; n > 0; n--, p++)
        crc = CCITT[0][(crc >> 8) ^ *p] ^ ((crc << 8) & 0xFFFF);
    return crc;
}

static uint32_t crc32(const uint8_t *p, size_t n)
{
    uint32_t crc = 0xFFFFFFFFu;
    for (; n >= 8; n -= 8, p += 8)
        crc = CRC32[7][(crc ^ p[0]) & 0xFF] ^ CRC32[6][((crc >> 8) ^ p[1]) & 0xFF] ^
              CRC32[5][((crc >> 16) ^ p[2]) & 0xFF] ^ CRC32[4][(crc >> 24) ^ p[3]] ^
              CRC32[3][p[4]] ^ CRC32[2][p[5]] ^ CRC32[1][p[6]] ^ CRC32[0][p[7]];
    for (; n > 0; n--, p++)
        crc = CRC32[0][(crc ^ *p) & 0xFF] ^ (crc >> 8);
    return ~crc;
}

uint32_t tg_checksum(tg_check check, tg_slice bytes)
{
    const uint8_t *p = (const uint8_t *)bytes.at;
    switch (check) {
    case TG_CHECK_NONE:
        return 0;
    case TG_CHECK_XOR8:
        return xor8(p, bytes.len);
    case TG_CHECK_SUM8:
        return sum8(p, bytes.len);
    case TG_CHECK_CRC16_MODBUS:
        return reflected16(MODBUS, 0xFFFF, p, bytes.len);
    case TG_CHECK_CRC16_CCITT:
        return ccitt16(0xFFFF, p, bytes.len);
    case TG_CHECK_CRC16_X25:
        return reflected16(X25, 0xFFFF, p, bytes.len) ^ 0xFFFF;
    case TG_CHECK_CRC32:
        return crc32(p, bytes.len);
    }
    return 0;
}

uint32_t tg_check_size(tg_check check)
{
    static const uint8_t size[] = {0, 1, 1, 2, 2, 2, 4};
    return (size_t)check < sizeof(size) ? size[check] : 0;
}

int tg_check_from(tg_slice name)
{
    static const char *const names[] = {"none",        "xor8",      "sum8", "crc16/modbus",
                                        "crc16/ccitt", "crc16/x25", "crc32"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (tg_slice_eq(name, tg_str(names[i])))
            return (int)i;
    return -1;
}
