// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <stdatomic.h>

#include "lab.h"
#include "tidegate/runtime.h"

static void a_worker_knows_itself(tg_worker *w, void *ctx)
{
    (void)ctx;
    assert_ptr_equal(tg_worker_here(), w);
    tg_worker_set(w, TG_PLACE_HUB, &the_lab);
    assert_ptr_equal(tg_worker_get(w, TG_PLACE_HUB), &the_lab);
    assert_ptr_equal(tg_worker_all(w), the_lab.ws);
}

static void each_thread_is_a_worker_or_none(void **state)
{
    (void)state;
    lab_start(3);
    assert_null(tg_worker_here());
    lab_run(a_worker_knows_itself, NULL);
    assert_int_equal(tg_workers_count(the_lab.ws), 3);
    assert_int_equal(tg_worker_index(tg_workers_at(the_lab.ws, 2)), 2);
    assert_null(tg_workers_at(the_lab.ws, 3));
    clockid_t clock = tg_worker_cpu_clock(tg_workers_at(the_lab.ws, 1));
    struct timespec t;
    assert_int_equal(clock_gettime(clock, &t), 0);
    lab_stop();
}

static int fails_on_second(tg_worker *w, void *ctx)
{
    atomic_fetch_add((atomic_int *)ctx, 1);
    return tg_worker_index(w) == 1 ? TG_E_BUSY : 0;
}

static void a_call_waits_for_all_and_gives_the_first_failure(void **state)
{
    (void)state;
    atomic_int n = 0;
    tg_error e = {0};
    tg_workers *ws;
    assert_int_equal(tg_workers_new(4, 1 << 20, &ws, &e), 0);
    assert_int_equal(tg_workers_call(ws, fails_on_second, &n),
                     TG_E_BUSY); // not started yet
    assert_int_equal(atomic_load(&n), 4);
    assert_int_equal(tg_workers_start(ws, &e), 0);
    assert_int_equal(tg_workers_call(ws, fails_on_second, &n), TG_E_BUSY);
    assert_int_equal(atomic_load(&n), 8);
    tg_workers_stop(ws, 0);
    tg_workers_join(ws);
    assert_int_equal(tg_workers_call(ws, fails_on_second, &n),
                     TG_E_BUSY); // no thread any more
    assert_int_equal(atomic_load(&n), 12);
    tg_workers_free(ws);
}

static void a_wrong_number_of_workers_is_refused(void **state)
{
    (void)state;
    tg_workers *ws = NULL;
    tg_error e = {0};
    assert_int_equal(tg_workers_new(0, 1 << 20, &ws, &e), TG_E_INVAL);
    assert_int_equal(tg_workers_new(TG_WORKERS_MAX + 1, 1 << 20, &ws, &e), TG_E_INVAL);
    assert_non_null(strstr(e.message, "65"));
}

typedef struct bounce {
    tg_workers *ws;
    int left;
} bounce;

static void bounce_on(void *ctx)
{
    bounce *b = ctx;
    if (--b->left == 0) {
        lab_add(&the_lab.done);
        return;
    }
    uint32_t next = (tg_worker_index(tg_worker_here()) + 1) % tg_workers_count(b->ws);
    tg_worker_run(tg_workers_at(b->ws, next), bounce_on, b);
}

static void mails_go_from_worker_to_worker(void **state)
{
    (void)state;
    lab_start(3);
    bounce b = {the_lab.ws, 3000};
    tg_worker_run(tg_workers_at(the_lab.ws, 0), bounce_on, &b);
    lab_wait(done, 1);
    lab_stop();
}

// Alarms.

typedef struct alarms {
    tg_alarm a;
    uint64_t from, took;
} alarms;

static void on_alarm(tg_alarm *a)
{
    alarms *me = TG_OWNER(a, alarms, a);
    me->took = lab_ms() - me->from;
    lab_add(&the_lab.done);
}

static void arm(tg_worker *w, void *ctx)
{
    alarms *me = ctx;
    tg_wheel_add(tg_worker_wheel(w), &me->a, 50, on_alarm);
}

static void an_alarm_counts_from_when_it_is_armed(void **state)
{
    (void)state;
    lab_start(1);
    alarms me = {0};
    for (int i = 1; i <= 3; i++) {
        struct timespec nap = {0,
                               70 * 1000 * 1000}; // the loop sleeps: its clock stands still
        nanosleep(&nap, NULL);
        me.from = lab_ms(); // the turn that arms it begins later
        lab_run(arm, &me);
        lab_wait(done, i);
        // By a clock of before the nap it would be due at once.
        assert_in_range(me.took, 25, 20000);
    }
    lab_stop();
}

// Turns.

static void on_turn(tg_worker *w, void *ctx)
{
    (void)w;
    lab *l = ctx;
    pthread_mutex_lock(&l->lock);
    int due = l->idle;
    l->idle = 0;
    pthread_mutex_unlock(&l->lock);
    if (due > 0)
        lab_add(&l->done);
}

static void note(tg_alarm *a)
{
    (void)a;
    lab_add(&the_lab.idle);
}

static void arm_note(tg_worker *w, void *ctx)
{
    tg_wheel_add(tg_worker_wheel(w), ctx, 20, note);
}

static void what_an_alarm_leaves_is_seen_by_the_turns_end(void **state)
{
    (void)state;
    tg_error e = {0};
    tg_alarm a = {0};
    the_lab.done = the_lab.idle = 0;
    assert_int_equal(tg_workers_new(1, 1 << 20, &the_lab.ws, &e), 0);
    tg_workers_on_turn(the_lab.ws, on_turn, &the_lab);
    assert_int_equal(tg_workers_start(the_lab.ws, &e), 0);
    lab_run(arm_note, &a);
    lab_wait(done, 1);
    the_lab.listener = NULL;
    lab_stop();
}

// The pool.

static void run_job(void *ctx)
{
    assert_null(tg_worker_here());
    atomic_fetch_add((atomic_int *)ctx, 1);
}

static void after_job(void *ctx, int code)
{
    (void)ctx;
    assert_int_equal(code, 0);
    assert_int_equal(tg_worker_index(tg_worker_here()), 0);
    lab_add(&the_lab.done);
}

static void submit(tg_worker *w, void *ctx)
{
    for (int i = 0; i < 100; i++)
        assert_int_equal(tg_pool_submit(w, run_job, after_job, ctx), 0);
}

static void blocking_work_comes_back_to_its_worker(void **state)
{
    (void)state;
    atomic_int ran = 0;
    lab_start(2);
    lab_run(submit, &ran);
    lab_wait(done, 100);
    assert_int_equal(atomic_load(&ran), 100);
    lab_stop();
}

typedef struct gate {
    pthread_mutex_t lock;
    int accepted, refused, ran, cancelled;
} gate;

static void wait_at_gate(void *ctx)
{
    gate *g = ctx;
    pthread_mutex_lock(&g->lock);
    g->ran++;
    pthread_mutex_unlock(&g->lock);
}

static void after_gate(void *ctx, int code)
{
    gate *g = ctx;
    if (code == TG_E_CANCELLED)
        g->cancelled++;
}

static void flood(tg_worker *w, void *ctx)
{
    gate *g = ctx;
    for (int i = 0; i < 3000; i++) {
        int rc = tg_pool_submit(w, wait_at_gate, after_gate, g);
        assert_true(rc == 0 || rc == TG_E_FULL);
        rc == 0 ? g->accepted++ : g->refused++;
    }
}

static void the_pool_is_bounded_and_gives_back_what_did_not_run(void **state)
{
    (void)state;
    gate g = {.lock = PTHREAD_MUTEX_INITIALIZER};
    lab_start(1);
    pthread_mutex_lock(&g.lock);
    lab_run(flood, &g);
    assert_in_range(g.accepted, 1024, 1024 + 4);
    assert_int_equal(g.accepted + g.refused, 3000);
    tg_workers_stop(the_lab.ws, 0);
    pthread_mutex_unlock(&g.lock);
    tg_workers_join(the_lab.ws);
    assert_int_equal(g.ran + g.cancelled, g.accepted);
    tg_workers_free(the_lab.ws);
}

// Watches.

typedef struct watching {
    tg_watch *watch;
    int fd;
} watching;

static void on_readable(void *ctx, int events)
{
    watching *me = ctx;
    char c;
    assert_int_equal(events, TG_POLL_READ);
    assert_int_equal(read(me->fd, &c, 1), 1);
    if (c == 'q') {
        tg_watch_close(me->watch);
        close(me->fd);
    }
    lab_add(&the_lab.done);
}

static void watch(tg_worker *w, void *ctx)
{
    watching *me = ctx;
    assert_int_equal(tg_watch_open(w, me->fd, on_readable, me, &me->watch), 0);
    assert_int_equal(tg_watch_set(me->watch, TG_POLL_READ), 0);
}

static void a_descriptor_is_watched_until_its_callback_closes_it(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    lab_start(1);
    watching me = {.fd = ends[0]};
    lab_run(watch, &me);
    assert_int_equal(write(ends[1], "a", 1), 1);
    lab_wait(done, 1);
    assert_int_equal(write(ends[1], "q", 1), 1);
    lab_wait(done, 2);
    close(ends[1]);
    lab_stop();
}

// Control.

static void stop_control(void *ctx)
{
    assert_null(tg_worker_here());
    tg_control_stop(ctx);
}

static void to_control(tg_worker *w, void *ctx)
{
    (void)w;
    assert_int_equal(tg_control_run(ctx, stop_control, ctx), 0);
}

static void workers_reach_the_control_thread(void **state)
{
    (void)state;
    lab_start(1);
    lab_run(to_control, the_lab.ws);
    tg_control_loop(the_lab.ws);
    lab_stop();
}

static void count_up(void *ctx)
{
    ++*(int *)ctx;
}

static void mails_that_come_too_late_still_run(void **state)
{
    (void)state;
    int n = 0;
    lab_start(2);
    tg_workers_stop(the_lab.ws, 0);
    tg_workers_join(the_lab.ws);
    tg_worker_run(tg_workers_at(the_lab.ws, 0), count_up, &n);
    tg_control_run(the_lab.ws, count_up, &n);
    tg_workers_free(the_lab.ws);
    assert_int_equal(n, 2);
}

typedef struct late {
    tg_mail mail;
    int *run;
} late;

static void run_late(tg_mail *m, void *receiver)
{
    (void)receiver;
    late *l = TG_OWNER(m, late, mail);
    ++*l->run;
    free(l);
}

static void bounce_late(void *ctx)
{
    bounce *b = ctx;
    tg_worker_run(tg_workers_at(b->ws, 0), bounce_on, b);
}

// A mail that is not run keeps what it carries.
static void no_mail_is_left_when_all_end(void **state)
{
    (void)state;
    enum { LATE = 5000 };
    int run = 0;
    lab_start(2);
    tg_workers_stop(the_lab.ws, 0);
    tg_workers_join(the_lab.ws);
    for (int i = 0; i < LATE; i++) {
        late *l = calloc(1, sizeof(*l));
        l->mail = (tg_mail){.run = run_late, .bytes = 1};
        l->run = &run;
        tg_mailbox_data(tg_worker_mailbox(tg_workers_at(the_lab.ws, 1)), &l->mail);
    }
    bounce answers = {the_lab.ws, 10}, from_control = {the_lab.ws, 10};
    tg_worker_run(tg_workers_at(the_lab.ws, 1), bounce_on, &answers);
    tg_control_run(the_lab.ws, bounce_late, &from_control);
    tg_workers_free(the_lab.ws);
    assert_int_equal(run, LATE);
    assert_int_equal(answers.left, 0);
    assert_int_equal(from_control.left, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_thread_is_a_worker_or_none),
        cmocka_unit_test(a_call_waits_for_all_and_gives_the_first_failure),
        cmocka_unit_test(a_wrong_number_of_workers_is_refused),
        cmocka_unit_test(mails_go_from_worker_to_worker),
        cmocka_unit_test(an_alarm_counts_from_when_it_is_armed),
        cmocka_unit_test(what_an_alarm_leaves_is_seen_by_the_turns_end),
        cmocka_unit_test(blocking_work_comes_back_to_its_worker),
        cmocka_unit_test(the_pool_is_bounded_and_gives_back_what_did_not_run),
        cmocka_unit_test(a_descriptor_is_watched_until_its_callback_closes_it),
        cmocka_unit_test(workers_reach_the_control_thread),
        cmocka_unit_test(mails_that_come_too_late_still_run),
        cmocka_unit_test(no_mail_is_left_when_all_end),
    };
    return LAB_RUN(tests);
}
