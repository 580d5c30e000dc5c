// SPDX-License-Identifier: Apache-2.0
#include "base/mailbox.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../../support/check.h"
#include "base/list.h"

typedef struct letter {
    tg_mail mail;
    int sender;
    uint64_t number;
    bool control;
} letter;

#define SENDERS 4
#define LETTERS 20000

typedef struct office {
    tg_mailbox *box;
    int wakes; // eventfd, as uv_async_t is underneath
    uint64_t next[SENDERS][2];
    uint64_t got;
    atomic_uint held; // times a sender was told to hold
} office;

static void wake(void *ctx)
{
    office *o = ctx;
    uint64_t one = 1;
    if (write(o->wakes, &one, sizeof(one)) != sizeof(one))
        abort();
}

static void open_office(office *o, size_t limit)
{
    *o = (office){.wakes = eventfd(0, 0)};
    o->box = tg_mailbox_new(limit, wake, o);
}

static void close_office(office *o)
{
    tg_mailbox_free(o->box);
    close(o->wakes);
}

// Woken or not, without waiting.
static bool woken(office *o)
{
    struct pollfd p = {.fd = o->wakes, .events = POLLIN};
    uint64_t n;
    return poll(&p, 1, 0) == 1 && read(o->wakes, &n, sizeof(n)) == sizeof(n);
}

static void receive(tg_mail *m, void *receiver)
{
    office *o = receiver;
    letter *l = TG_OWNER(m, letter, mail);
    if (l->number != o->next[l->sender][l->control])
        abort(); // lost, doubled or out of order
    o->next[l->sender][l->control]++;
    o->got++;
    free(l);
}

static letter *letter_new(int sender, uint64_t number, bool control)
{
    letter *l = calloc(1, sizeof(*l));
    l->mail.run = receive;
    l->mail.bytes = 100;
    l->sender = sender;
    l->number = number;
    l->control = control;
    return l;
}

typedef struct sender {
    office *office;
    int index;
    pthread_t thread;
} sender;

static void *send_all(void *arg)
{
    sender *s = arg;
    uint64_t sent[2] = {0, 0};
    for (int i = 0; i < LETTERS; i++) {
        bool control = i % 7 == 0;
        letter *l = letter_new(s->index, sent[control]++, control);
        if (control)
            tg_mailbox_control(s->office->box, &l->mail);
        else if (!tg_mailbox_data(s->office->box, &l->mail))
            atomic_fetch_add(&s->office->held, 1);
    }
    return NULL;
}

// The receiver sleeps unless it was told that something is left: a lost wake-up would hang here.
static void many_senders_lose_nothing_and_keep_their_order(void **state)
{
    (void)state;
    office o;
    open_office(&o, 5000);
    sender senders[SENDERS];
    for (int i = 0; i < SENDERS; i++) {
        senders[i] = (sender){.office = &o, .index = i};
        assert_int_equal(pthread_create(&senders[i].thread, NULL, send_all, &senders[i]),
                         0);
    }
    for (bool left = false; o.got < SENDERS * LETTERS;) {
        uint64_t n;
        if (!left && read(o.wakes, &n, sizeof(n)) != sizeof(n))
            abort();
        left = tg_mailbox_drain(o.box, &o, 32);
    }
    for (int i = 0; i < SENDERS; i++)
        pthread_join(senders[i].thread, NULL);
    assert_true(tg_mailbox_low(o.box));
    assert_false(tg_mailbox_drain(o.box, &o, 32));
    assert_int_equal(o.got, SENDERS * LETTERS);
    close_office(&o);
}

static void only_the_first_letter_into_an_empty_lane_wakes(void **state)
{
    (void)state;
    office o;
    open_office(&o, 1000);
    assert_false(woken(&o));
    tg_mailbox_data(o.box, &letter_new(0, 0, false)->mail);
    assert_true(woken(&o));
    tg_mailbox_data(o.box, &letter_new(0, 1, false)->mail);
    assert_false(woken(&o));
    tg_mailbox_control(o.box, &letter_new(0, 0, true)->mail);
    assert_true(woken(&o));
    assert_false(tg_mailbox_drain(o.box, &o, 10));
    tg_mailbox_data(o.box, &letter_new(0, 2, false)->mail);
    assert_true(woken(&o));
    tg_mailbox_drain(o.box, &o, 10);
    assert_int_equal(o.got, 4);
    close_office(&o);
}

static void the_data_lane_says_when_it_is_full_and_takes_all_the_same(void **state)
{
    (void)state;
    office o;
    open_office(&o, 1000);
    for (uint64_t i = 0; i < 10; i++)
        assert_true(tg_mailbox_data(o.box, &letter_new(0, i, false)->mail));
    assert_false(tg_mailbox_data(o.box, &letter_new(0, 10, false)->mail));
    assert_false(tg_mailbox_low(o.box));
    assert_true(tg_mailbox_drain(o.box, &o, 4));
    assert_false(tg_mailbox_low(o.box));
    assert_true(tg_mailbox_drain(o.box, &o, 3));
    assert_true(tg_mailbox_low(o.box)); // 400 of 1000
    assert_false(tg_mailbox_drain(o.box, &o, 100));
    assert_int_equal(o.got, 11);
    close_office(&o);
}

static char trail[256];
static size_t trail_len;

static void leave_mark(tg_mail *m, void *receiver)
{
    (void)receiver;
    letter *l = TG_OWNER(m, letter, mail);
    trail[trail_len++] = (char)l->number;
    free(l);
}

static void send_control_from_within(tg_mail *m, void *receiver)
{
    office *o = receiver;
    letter *c = letter_new(0, 'C', true);
    c->mail.run = leave_mark;
    tg_mailbox_control(o->box, &c->mail);
    leave_mark(m, receiver);
}

static void control_goes_first_and_does_not_wait_for_all_data(void **state)
{
    (void)state;
    office o;
    open_office(&o, 1 << 20);
    trail_len = 0;
    for (int i = 0; i < 100; i++) {
        letter *d = letter_new(0, 'd', false);
        d->mail.run = i == 3 ? send_control_from_within : leave_mark;
        tg_mailbox_data(o.box, &d->mail);
    }
    letter *c = letter_new(0, 'c', true);
    c->mail.run = leave_mark;
    tg_mailbox_control(o.box, &c->mail);
    assert_false(tg_mailbox_drain(o.box, &o, 1000));
    assert_int_equal(trail_len, 102);
    assert_int_equal(trail[0], 'c');
    char *second = memchr(trail, 'C', trail_len);
    assert_non_null(second);
    assert_true(second - trail > 4 && second - trail < 40);
    close_office(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_senders_lose_nothing_and_keep_their_order),
        cmocka_unit_test(only_the_first_letter_into_an_empty_lane_wakes),
        cmocka_unit_test(the_data_lane_says_when_it_is_full_and_takes_all_the_same),
        cmocka_unit_test(control_goes_first_and_does_not_wait_for_all_data),
    };
    return RUN(tests);
}
