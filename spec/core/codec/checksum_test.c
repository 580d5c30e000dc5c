// SPDX-License-Identifier: Apache-2.0
#include "codec/frame.h"

#include "../../support/check.h"

static void the_published_check_values_hold(void **state)
{
    (void)state;
    tg_slice s = TG_LIT("123456789");
    assert_int_equal(tg_checksum(TG_CHECK_XOR8, s), 0x31);
    assert_int_equal(tg_checksum(TG_CHECK_SUM8, s), 0xDD);
    assert_int_equal(tg_checksum(TG_CHECK_CRC16_MODBUS, s), 0x4B37);
    assert_int_equal(tg_checksum(TG_CHECK_CRC16_CCITT, s), 0x29B1);
    assert_int_equal(tg_checksum(TG_CHECK_CRC16_X25, s), 0x906E);
    assert_int_equal(tg_checksum(TG_CHECK_CRC32, s), 0xCBF43926);
    assert_int_equal(tg_checksum(TG_CHECK_NONE, s), 0);
}

static uint32_t bitwise(tg_check check, const uint8_t *p, size_t n)
{
    bool wide = check == TG_CHECK_CRC32;
    uint32_t poly = check == TG_CHECK_CRC16_MODBUS ? 0xA001 : wide ? 0xEDB88320u : 0x8408;
    uint32_t crc = wide ? 0xFFFFFFFFu : 0xFFFF;
    for (size_t i = 0; i < n; i++) {
        crc ^= check == TG_CHECK_CRC16_CCITT ? (uint32_t)p[i] << 8 : p[i];
        for (int b = 0; b < 8; b++)
            if (check == TG_CHECK_CRC16_CCITT)
                crc = ((crc << 1) ^ (crc & 0x8000 ? 0x1021 : 0)) & 0xFFFF;
            else
                crc = (crc >> 1) ^ (crc & 1 ? poly : 0);
    }
    return wide ? ~crc : check == TG_CHECK_CRC16_X25 ? crc ^ 0xFFFF : crc;
}

static void tables_say_what_the_polynomials_say(void **state)
{
    (void)state;
    const tg_check checks[] = {TG_CHECK_CRC16_MODBUS, TG_CHECK_CRC16_CCITT,
                               TG_CHECK_CRC16_X25, TG_CHECK_CRC32};
    uint8_t bytes[300];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 197 + (i >> 3) * 31 + 11);
    for (size_t c = 0; c < 4; c++)
        for (size_t n = 0; n <= sizeof(bytes); n++)
            assert_int_equal(tg_checksum(checks[c], (tg_slice){(char *)bytes, n}),
                             bitwise(checks[c], bytes, n));
}

static void names_and_sizes(void **state)
{
    (void)state;
    assert_int_equal(tg_check_from(TG_LIT("crc16/x25")), TG_CHECK_CRC16_X25);
    assert_int_equal(tg_check_from(TG_LIT("none")), TG_CHECK_NONE);
    assert_int_equal(tg_check_from(TG_LIT("crc16")), -1);
    assert_int_equal(tg_check_size(TG_CHECK_XOR8), 1);
    assert_int_equal(tg_check_size(TG_CHECK_CRC32), 4);
    assert_int_equal(tg_check_size((tg_check)99), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_check_values_hold),
        cmocka_unit_test(tables_say_what_the_polynomials_say),
        cmocka_unit_test(names_and_sizes),
    };
    return RUN(tests);
}
