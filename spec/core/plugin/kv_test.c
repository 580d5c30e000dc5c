// SPDX-License-Identifier: Apache-2.0
#include "plugin/kv.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "../../support/check.h"

static char got[64];

static void take(void *ctx, tg_slice value)
{
    (void)ctx;
    snprintf(got, sizeof(got), "%.*s", (int)value.len, value.at);
}

static const char *value_of(tg_kv *kv, const char *key, uint64_t now)
{
    return tg_kv_get(kv, tg_str(key), now, take, NULL) == 0 ? got : NULL;
}

static void a_key_is_set_read_replaced_and_deleted(void **state)
{
    (void)state;
    tg_kv *kv = tg_kv_new(0);
    assert_int_equal(tg_kv_get(kv, tg_str("a"), 1, take, NULL), TG_E_NOTFOUND);
    assert_int_equal(tg_kv_set(kv, tg_str("a"), tg_str("one"), 0, 1, false), 0);
    assert_string_equal(value_of(kv, "a", 1), "one");
    assert_int_equal(tg_kv_set(kv, tg_str("a"), tg_str("two"), 0, 1, false), 0);
    assert_string_equal(value_of(kv, "a", 1), "two");
    assert_int_equal(tg_kv_set(kv, tg_str("a"), tg_str("x"), 0, 1, true), TG_E_EXISTS);
    assert_int_equal(tg_kv_del(kv, tg_str("a"), 1), 0);
    assert_int_equal(tg_kv_del(kv, tg_str("a"), 1), TG_E_NOTFOUND);
    assert_int_equal(tg_kv_set(kv, tg_str("a"), tg_str("x"), 0, 1, true), 0);
    assert_int_equal(tg_kv_set(kv, tg_str(""), tg_str("x"), 0, 1, false), TG_E_INVAL);
    tg_kv_free(kv);
}

static void a_key_ends_when_its_time_is_over(void **state)
{
    (void)state;
    tg_kv *kv = tg_kv_new(0);
    tg_kv_set(kv, tg_str("a"), tg_str("x"), 50, 1000, false);
    assert_non_null(value_of(kv, "a", 1049));
    assert_null(value_of(kv, "a", 1050));
    assert_int_equal(tg_kv_bytes(kv), 0);
    tg_kv_set(kv, tg_str("a"), tg_str("x"), 50, 2000, true);
    assert_int_equal(tg_kv_set(kv, tg_str("a"), tg_str("y"), 0, 2051, true), 0);
    tg_kv_free(kv);
}

static void a_number_counts_and_keeps_its_expiry(void **state)
{
    (void)state;
    tg_kv *kv = tg_kv_new(0);
    int64_t n = 0;
    assert_int_equal(tg_kv_incr(kv, tg_str("n"), 5, 100, 1000, &n), 0);
    assert_int_equal(n, 5);
    assert_int_equal(tg_kv_incr(kv, tg_str("n"), -7, 0, 1050, &n), 0);
    assert_int_equal(n, -2);
    assert_null(value_of(kv, "n", 1100));
    tg_kv_set(kv, tg_str("n"), tg_str("9223372036854775807"), 0, 1, false);
    assert_int_equal(tg_kv_incr(kv, tg_str("n"), 1, 0, 1, &n), TG_E_INVAL);
    tg_kv_set(kv, tg_str("n"), tg_str("12x"), 0, 1, false);
    assert_int_equal(tg_kv_incr(kv, tg_str("n"), 1, 0, 1, &n), TG_E_INVAL);
    assert_string_equal(value_of(kv, "n", 1), "12x");
    tg_kv_free(kv);
}

static void a_limit_holds_and_room_that_expired_is_used_again(void **state)
{
    (void)state;
    tg_kv *kv = tg_kv_new(16 * 1024);
    char key[16];
    int n = 0;
    for (; n < 1000; n++) {
        snprintf(key, sizeof(key), "k%d", n);
        if (tg_kv_set(kv, tg_str(key), tg_str("0123456789"), 100, 1000, false) != 0)
            break;
    }
    assert_in_range(n, 100, 300);
    assert_true(tg_kv_bytes(kv) <= 16 * 1024);
    assert_int_equal(tg_kv_set(kv, tg_str("k0"), tg_str("0"), 100, 1000, false), 0);
    int again = 0;
    for (int i = 0; i < 1000 && again < n; i++) {
        snprintf(key, sizeof(key), "m%d", i);
        again += tg_kv_set(kv, tg_str(key), tg_str("0123456789"), 0, 1200, false) == 0;
    }
    assert_in_range(again, n - 8, n + 8);
    tg_kv_free(kv);
}

#define ROUNDS 20000

static void *count_up(void *arg)
{
    for (int i = 0; i < ROUNDS; i++)
        tg_kv_incr(arg, tg_str(i % 2 ? "odd" : "even"), 1, 0, 1, NULL);
    return NULL;
}

static void threads_lose_no_count(void **state)
{
    (void)state;
    tg_kv *kv = tg_kv_new(0);
    pthread_t at[3];
    for (int i = 0; i < 3; i++)
        pthread_create(&at[i], NULL, count_up, kv);
    for (int i = 0; i < 3; i++)
        pthread_join(at[i], NULL);
    assert_string_equal(value_of(kv, "odd", 1), "30000");
    assert_string_equal(value_of(kv, "even", 1), "30000");
    tg_kv_free(kv);
}

static char told[64];

static void tell(void *ctx, tg_slice key)
{
    (void)ctx;
    snprintf(told + strlen(told), sizeof(told) - strlen(told), "%.*s ", (int)key.len,
             key.at);
}

static void a_kept_key_is_told_of_also_when_its_time_is_over(void **state)
{
    (void)state;
    uint64_t left = 0;
    tg_kv *kv = tg_kv_new(0);
    told[0] = '\0';
    tg_kv_on_kept(kv, tell, NULL);
    tg_kv_set(kv, tg_str("found"), tg_str("x"), 50, 1000, false);
    assert_int_equal(tg_kv_get_left(kv, tg_str("found"), 1000, take, NULL, &left),
                     TG_E_NOTFOUND); // not kept yet
    tg_kv_keep(kv, tg_str("found"), 1000);
    assert_int_equal(tg_kv_get_left(kv, tg_str("found"), 1000, take, NULL, &left), 0);
    assert_int_equal(left, 50);
    assert_string_equal(told, "");
    assert_null(value_of(kv, "found", 1050));
    assert_string_equal(told, "found ");
    tg_kv_set(kv, tg_str("swept"), tg_str("x"), 50, 2000, false);
    tg_kv_keep(kv, tg_str("swept"), 2000);
    for (int i = 0; i < 10000 && strstr(told, "swept ") == NULL; i++) {
        char key[16];
        snprintf(key, sizeof(key), "%d", i);
        tg_kv_set(kv, tg_str(key), tg_str("x"), 1, 3000 + (uint64_t)i, false);
    }
    assert_string_equal(told, "found swept ");
    tg_kv_free(kv);
}

/// Beside a plain array: keys that come, expire and go in no order, and how much they weigh.
static void many_keys_that_come_and_go_are_as_they_were_left(void **state)
{
    (void)state;
    enum { KEYS = 3000, STEPS = 60000 };
    static struct {
        int value;
        uint64_t until;
    } want[KEYS];
    tg_kv *kv = tg_kv_new(0);
    uint64_t seed = 7, now = 1000;
    char key[16], value[16];
    for (int i = 0; i < STEPS; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        unsigned k = (unsigned)(seed >> 33) % KEYS, what = (unsigned)(seed >> 60);
        snprintf(key, sizeof(key), "key %u", k);
        snprintf(value, sizeof(value), "%d", i);
        now += what == 0;
        bool there = want[k].until > now;
        if (what < 6) {
            assert_int_equal(tg_kv_del(kv, tg_str(key), now), there ? 0 : TG_E_NOTFOUND);
            want[k].until = 0;
        } else if (what < 12) {
            uint32_t ttl = what < 9 ? 100 : 100000;
            assert_int_equal(tg_kv_set(kv, tg_str(key), tg_str(value), ttl, now, false), 0);
            want[k].value = i;
            want[k].until = now + ttl;
        } else {
            snprintf(value, sizeof(value), "%d", want[k].value);
            const char *is = value_of(kv, key, now);
            assert_true((is != NULL) == there);
            assert_true(!there || strcmp(is, value) == 0);
        }
    }
    for (unsigned k = 0; k < KEYS; k++) {
        snprintf(key, sizeof(key), "key %u", k);
        tg_kv_del(kv, tg_str(key), now);
    }
    assert_int_equal(tg_kv_bytes(kv), 0);
    tg_kv_free(kv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_set_read_replaced_and_deleted),
        cmocka_unit_test(a_key_ends_when_its_time_is_over),
        cmocka_unit_test(a_number_counts_and_keeps_its_expiry),
        cmocka_unit_test(a_limit_holds_and_room_that_expired_is_used_again),
        cmocka_unit_test(many_keys_that_come_and_go_are_as_they_were_left),
        cmocka_unit_test(threads_lose_no_count),
        cmocka_unit_test(a_kept_key_is_told_of_also_when_its_time_is_over),
    };
    return RUN(tests);
}
