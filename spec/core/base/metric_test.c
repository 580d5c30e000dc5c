// SPDX-License-Identifier: Apache-2.0
#include "base/metric.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "../../support/check.h"

static int setup(void **state)
{
    (void)state;
    return tg_metrics_open(4);
}

static int teardown(void **state)
{
    (void)state;
    tg_metrics_close();
    tg_metrics_thread(0);
    return 0;
}

static void the_same_name_and_labels_are_the_same_metric(void **state)
{
    (void)state;
    int a = tg_metric_add_def(TG_COUNTER, "frames", "adapter=\"a\"", "Frames.");
    int b = tg_metric_add_def(TG_COUNTER, "frames", "adapter=\"b\"", "Frames.");
    assert_true(a >= 0 && b >= 0 && a != b);
    assert_int_equal(tg_metric_add_def(TG_COUNTER, "frames", "adapter=\"a\"", "Frames."),
                     a);
    assert_int_equal(tg_metric_find("frames", "adapter=\"b\""), b);
    assert_int_equal(tg_metric_find("frames", ""), TG_E_NOTFOUND);
    tg_metric_add(a, 5);
    tg_metric_add(a, -2);
    tg_metric_add(-1, 100);
    assert_int_equal(tg_metric_sum(a), 3);
    assert_int_equal(tg_metric_sum(b), 0);
    assert_int_equal(tg_metric_sum(TG_E_LIMIT), 0);
}

#define ROUNDS 20000

typedef struct counting {
    pthread_t thread;
    uint32_t index;
    int id;
} counting;

// Counts, and registers others meanwhile: cells must not move.
static void *count(void *arg)
{
    counting *c = arg;
    tg_metrics_thread(c->index);
    for (int i = 0; i < ROUNDS; i++) {
        tg_metric_add(c->id, 1);
        if (i % 100 == 0) {
            char name[32];
            snprintf(name, sizeof(name), "other_%d", i);
            tg_metric_add(tg_metric_add_def(TG_GAUGE, name, "", ""), 1);
        }
    }
    return NULL;
}

static void threads_count_without_losing_one(void **state)
{
    (void)state;
    int id = tg_metric_add_def(TG_COUNTER, "shared", "", "");
    counting
        all[6]; // 1..4 have rows of their own, two share row 0, one of them past the end
    for (uint32_t i = 0; i < 6; i++) {
        all[i] = (counting){.index = i == 5 ? 77 : i, .id = id};
        assert_int_equal(pthread_create(&all[i].thread, NULL, count, &all[i]), 0);
    }
    while (tg_metric_sum(id) < ROUNDS)
        ;
    for (int i = 0; i < 6; i++)
        pthread_join(all[i].thread, NULL);
    assert_int_equal(tg_metric_sum(id), 6 * ROUNDS);
    assert_int_equal(tg_metric_sum(tg_metric_find("other_300", "")), 6);
}

typedef struct listing {
    int n;
    char last[64];
} listing;

static void list(void *ctx, tg_metric_kind kind, const char *name, const char *labels,
                 const char *help, int64_t sum)
{
    listing *l = ctx;
    char key[64];
    snprintf(key, sizeof(key), "%s{%s", name, labels);
    assert_true(strcmp(l->last, key) < 0);
    strcpy(l->last, key);
    assert_int_equal(kind, TG_GAUGE);
    assert_string_equal(help, "help");
    assert_int_equal(sum, 1);
    l->n++;
}

static void they_are_listed_by_name_across_chunks(void **state)
{
    (void)state;
    for (int i = 999; i >= 0; i--) {
        char name[32], label[32];
        snprintf(name, sizeof(name), "m%03d", i / 2);
        snprintf(label, sizeof(label), "l=\"%d\"", i % 2);
        tg_metric_add(tg_metric_add_def(TG_GAUGE, name, label, "help"), 1);
    }
    listing l = {0};
    tg_metrics_each(list, &l);
    assert_int_equal(l.n, 1000);
}

static void a_name_is_of_one_kind(void **state)
{
    (void)state;
    int id = tg_metric_add_def(TG_COUNTER, "frames", "a=\"1\"", "Frames.");
    assert_true(id >= 0);
    assert_int_equal(tg_metric_add_def(TG_GAUGE, "frames", "a=\"2\"", ""), TG_E_EXISTS);
    assert_int_equal(tg_metric_add_def(TG_GAUGE, "frames", "a=\"1\"", ""), TG_E_EXISTS);
    assert_int_equal(tg_metric_series("frames"), 1);
    assert_true(tg_metric_add_def(TG_COUNTER, "frames", "a=\"2\"", "") >= 0);
    assert_int_equal(tg_metric_series("frames"), 2);
    assert_int_equal(tg_metric_series("none"), 0);
}

static void a_cell_is_its_threads_alone(void **state)
{
    (void)state;
    int id = tg_metric_add_def(TG_COUNTER, "own", "", "");
    assert_null(tg_metric_cell(id)); // row 0 is shared
    tg_metrics_thread(2);
    _Atomic int64_t *cell = tg_metric_cell(id);
    assert_non_null(cell);
    assert_null(tg_metric_cell(TG_E_LIMIT));
    atomic_store(cell, atomic_load(cell) + 5);
    tg_metric_add(id, 1);
    assert_int_equal(tg_metric_sum(id), 6);
    tg_metrics_thread(99); // more than there are
    assert_null(tg_metric_cell(id));
}

static void labels_are_escaped(void **state)
{
    (void)state;
    tg_buf b = {0};
    tg_metric_put_label(&b, "a", TG_LIT("plain \xc3\xa4"));
    tg_metric_put_label(&b, "b", TG_LIT("\"\\\n\t\xff\xc3"));
    tg_buf_putc(&b, '\0');
    assert_string_equal(b.at, "a=\"plain \xc3\xa4\",b=\"\\\"\\\\\\n___\"");
    tg_buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_same_name_and_labels_are_the_same_metric, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(threads_count_without_losing_one, setup, teardown),
        cmocka_unit_test_setup_teardown(they_are_listed_by_name_across_chunks, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_name_is_of_one_kind, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cell_is_its_threads_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(labels_are_escaped, setup, teardown),
    };
    return RUN(tests);
}
