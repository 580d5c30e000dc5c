// SPDX-License-Identifier: Apache-2.0
#include "hub/message.h"

#include <stdlib.h>

#include "hub/hub.h"

#include "../../support/check.h"

static tg_msg_spec spec(void)
{
    return (tg_msg_spec){.size = sizeof(tg_msg_spec),
                         .qos = 1,
                         .retain = 1,
                         .flags = 7,
                         .topic = TG_LIT("a/b"),
                         .payload = TG_LIT("\0bytes"),
                         .props = TG_LIT("props"),
                         .publisher = TG_LIT("me"),
                         .expiry_s = 9};
}

static void a_message_copies_all_that_it_is_made_from(void **state)
{
    (void)state;
    char topic[] = "a/b";
    tg_msg_spec s = spec();
    s.topic.at = topic;
    tg_msg m = tg_msg_new(&s);
    topic[0] = 'x';
    assert_true(tg_slice_eq(m->topic, TG_LIT("a/b")));
    assert_true(tg_slice_eq(m->payload, TG_LIT("\0bytes")));
    assert_true(tg_slice_eq(m->props, TG_LIT("props")));
    assert_true(tg_slice_eq(m->publisher, TG_LIT("me")));
    assert_int_equal(m->qos, 1);
    assert_int_equal(m->retain, 1);
    assert_int_equal(m->flags, 7);
    assert_int_equal(m->created, 0);
    tg_msg_unref(tg_msg_ref(m));
    tg_msg_unref(m);
    tg_msg_unref(NULL);
}

static void an_encoded_form_is_kept_once_for_each_owner_and_variant(void **state)
{
    (void)state;
    const tg_msg_api *api = tg_msg_table();
    tg_msg_spec s = spec();
    tg_msg m = api->new (&s);
    int one, two;
    assert_null(api->encoded(m, &one, 0).at);
    tg_slice kept = api->set_encoded(m, &one, 0, TG_LIT("first"));
    assert_true(tg_slice_eq(kept, TG_LIT("first")));
    kept = api->set_encoded(m, &one, 0, TG_LIT("second"));
    assert_true(tg_slice_eq(kept, TG_LIT("first"))); // somebody may be reading it
    api->set_encoded(m, &one, 7, TG_LIT("seven"));
    assert_null(api->set_encoded(m, &one, 8, TG_LIT("no such variant")).at);
    assert_null(api->encoded(m, &two, 0).at);
    assert_true(tg_slice_eq(api->encoded(m, &one, 7), TG_LIT("seven")));
    api->unref(m);
}

static void an_envelope_elsewhere_shares_the_bytes_and_no_form(void **state)
{
    (void)state;
    const tg_msg_api *api = tg_msg_table();
    tg_msg_spec s = spec();
    tg_msg m = tg_msg_new(&s);
    api->set_encoded(m, &s, 0, TG_LIT("here"));
    tg_msg other = tg_msg_from_block(tg_msg_block(m));
    assert_ptr_equal(other->payload.at, m->payload.at);
    assert_null(api->encoded(other, &s, 0).at);
    tg_msg_unref(m); // the maker's envelope lies in the block, which lives on
    assert_true(tg_slice_eq(other->topic, TG_LIT("a/b")));
    tg_msg_unref(other);
}

static void a_published_message_is_not_published_again_but_copied(void **state)
{
    (void)state;
    tg_msg_spec s = spec();
    tg_msg m = tg_msg_new(&s);
    tg_msg once = tg_msg_publish(m, 1000, 1);
    assert_ptr_equal(once, m);
    assert_int_equal(m->created, 1000);
    assert_int_equal(m->expires, 10000);
    tg_msg again = tg_msg_publish(m, 5000, 2);
    assert_ptr_not_equal(again, m);
    assert_int_equal(m->created, 1000);
    assert_int_equal(again->expires, 14000);
    assert_int_equal(again->origin, 2);
    assert_true(tg_slice_eq(again->publisher, TG_LIT("me")));
    tg_msg_unref(again);
    tg_msg_unref(once);
    tg_msg_unref(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_copies_all_that_it_is_made_from),
        cmocka_unit_test(an_encoded_form_is_kept_once_for_each_owner_and_variant),
        cmocka_unit_test(an_envelope_elsewhere_shares_the_bytes_and_no_form),
        cmocka_unit_test(a_published_message_is_not_published_again_but_copied),
    };
    return RUN(tests);
}
