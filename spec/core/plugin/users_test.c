// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>

#include "base/value.h"
#include "plugin/auth.h"
#include "plugin/line.h"

#include "../../support/check.h"

// PBKDF2-HMAC-SHA256 of "secret" with the salt "saltsaltsalt", 1000 rounds (by Python's hashlib).
#define HASHED                                                                             \
    "pbkdf2$sha256$1000$c2FsdHNhbHRzYWx0$sVaWem31qy3rw+Ldi3plA/XzhMSNi9/XHnnD1Ytj05o="

static tg_value user(tg_arena *a, const char *name, const char *password)
{
    tg_value_builder b = {.arena = a};
    tg_build(&b, "user", tg_value_of_str(name));
    tg_build(&b, "password", tg_value_of_str(password));
    return tg_build_map(&b);
}

static int make(tg_users **out, const char *name, const char *password, tg_error *e)
{
    tg_arena a = {0};
    tg_value_builder b = {.arena = &a};
    tg_build(&b, NULL, user(&a, name, password));
    tg_value list = tg_build_list(&b);
    int rc = tg_users_new(&list, NULL, out, e);
    tg_arena_free(&a); // they keep a copy
    return rc;
}

static void a_plain_and_a_hashed_password_are_checked(void **state)
{
    (void)state;
    const char *words[] = {"secret", HASHED};
    for (int i = 0; i < 2; i++) {
        tg_users *u;
        tg_error e = {0};
        assert_int_equal(make(&u, "ann", words[i], &e), 0);
        const tg_user *ann = tg_users_find(u, tg_str("ann"));
        assert_non_null(ann);
        assert_null(tg_users_find(u, tg_str("bob")));
        assert_int_equal(tg_user_slow(ann), i);
        assert_true(tg_user_check(ann, tg_str("secret")));
        assert_false(tg_user_check(ann, tg_str("secre")));
        assert_false(tg_user_check(ann, tg_str("secrets")));
        assert_false(tg_user_check(ann, (tg_slice){NULL, 0}));
        const tg_value *name = tg_value_get(tg_user_attributes(ann), "user");
        assert_true(tg_slice_eq(name->string, tg_str("ann")));
        tg_users_free(u);
    }
}

static void a_hash_that_is_none_is_refused(void **state)
{
    (void)state;
    const char *bad[] = {
        "pbkdf2$sha1$1000$c2FsdA==$sVaWem31qy3rw+Ldi3plA/XzhMSNi9/XHnnD1Ytj05o=",
        "pbkdf2$sha256$0$c2FsdA==$sVaWem31qy3rw+Ldi3plA/XzhMSNi9/XHnnD1Ytj05o=",
        "pbkdf2$sha256$-5$c2FsdA==$sVaWem31qy3rw+Ldi3plA/XzhMSNi9/XHnnD1Ytj05o=",
        "pbkdf2$sha256$99999999999$c2FsdA==$sVaWem31qy3rw+Ldi3plA/XzhMSNi9/XHnnD1Ytj05o=",
        "pbkdf2$sha256$1000$c2FsdA==$c2FsdA==",
        "pbkdf2$sha256$1000$$",
        "pbkdf2$",
        "pbkdf2",
        "pbkdf2$sha256$1000$c2FsdA==$sVaWem31qy3rw+Ldi3plA/XzhMSNi9/XHnnD1Ytj05o=$x",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        tg_users *u;
        tg_error e = {0};
        assert_int_equal(make(&u, "ann", bad[i], &e), TG_E_INVAL);
        assert_non_null(strstr(e.message, "users[1]"));
        assert_null(strstr(e.message, "sVaW")); // the hash itself is nobody's business
    }
}

static void a_user_listed_twice_and_one_without_name_are_refused(void **state)
{
    (void)state;
    tg_arena a = {0};
    tg_users *u;
    tg_error e = {0};
    tg_value_builder b = {.arena = &a};
    tg_build(&b, NULL, user(&a, "ann", "x"));
    tg_build(&b, NULL, user(&a, "ann", "y"));
    tg_value list = tg_build_list(&b);
    assert_int_equal(tg_users_new(&list, "c.lua", &u, &e), TG_E_INVAL);
    assert_string_equal(e.message, "c.lua: users[2]: user 'ann' is listed twice");
    assert_int_equal(make(&u, "", "x", &e), TG_E_INVAL);
    tg_arena_free(&a);
}

static void lists_of_filters_become_the_access_list(void **state)
{
    (void)state;
    tg_arena a = {0};
    tg_users *u;
    tg_error e = {0};
    tg_value_builder b = {.arena = &a}, m = {.arena = &a}, filters = {.arena = &a};
    tg_build(&filters, NULL, tg_value_of_str("a/#"));
    tg_build(&m, "user", tg_value_of_str("ann"));
    tg_build(&m, "password", tg_value_of_str("x"));
    tg_build(&m, "publish", tg_build_list(&filters));
    tg_build(&m, "subscribe", tg_value_of_str("b/#")); // one stands for a list of one
    tg_build(&b, NULL, tg_build_map(&m));
    tg_value list = tg_build_list(&b);
    assert_int_equal(tg_users_new(&list, NULL, &u, &e), 0);
    const tg_value *at = tg_user_attributes(tg_users_find(u, tg_str("ann")));
    tg_slice none = {"", 0};
    assert_true(tg_auth_table.may_publish(at, none, none, tg_str("a/x")));
    assert_false(tg_auth_table.may_publish(at, none, none, tg_str("b/x")));
    assert_true(tg_auth_table.may_subscribe(at, none, none, tg_str("b/+")));
    assert_false(tg_auth_table.may_subscribe(at, none, none, tg_str("#")));
    tg_users_free(u);
    tg_arena_free(&a);
}

static void an_access_list_that_makes_no_sense_refuses(void **state)
{
    (void)state;
    tg_slice none = {"", 0};
    tg_pair acl = {TG_LIT("acl"), {.kind = TG_STR, .string = TG_LIT("everything")}};
    tg_value at = {.kind = TG_MAP, .map = {&acl, 1}};
    assert_false(tg_auth_table.may_publish(&at, none, none, tg_str("a")));
    assert_false(tg_auth_table.may_subscribe(&at, none, none, tg_str("a")));
    assert_true(tg_auth_table.may_publish(NULL, none, none, tg_str("a")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_and_a_hashed_password_are_checked),
        cmocka_unit_test(a_hash_that_is_none_is_refused),
        cmocka_unit_test(a_user_listed_twice_and_one_without_name_are_refused),
        cmocka_unit_test(lists_of_filters_become_the_access_list),
        cmocka_unit_test(an_access_list_that_makes_no_sense_refuses),
    };
    return RUN(tests);
}
