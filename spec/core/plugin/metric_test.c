// SPDX-License-Identifier: Apache-2.0
// Counters as a plugin defines them: a linked-in one asks the table and its answers are looked
// at from outside.
#include "host.h"

static host h;
static const tg_metric_api *api;
static void (*inside)(void); // what load() does
static uint32_t id;
static _Atomic int64_t *cells[2];

static int load(const tg_host *given, tg_self *self)
{
    (void)self;
    api = given->query("metric", 1, 0);
    assert_non_null(api);
    assert_int_equal(api->counter(TG_LIT("plain"), TG_LIT("Plain."), &id), 0);
    if (inside != NULL)
        inside();
    return 0;
}

static int start(uint32_t worker)
{
    cells[worker] = api->cell(id);
    tg_count(cells[worker], 3);
    tg_count(cells[worker], 4);
    return 0;
}

static const tg_plugin tester = {.magic = TG_PLUGIN_MAGIC,
                                 .size = sizeof(tg_plugin),
                                 .abi_major = TG_ABI_MAJOR,
                                 .id = "tester",
                                 .version = "1.0.0",
                                 .life = {.load = load, .start = start}};

static void run(void (*what)(void))
{
    tg_error e = {0};
    inside = what;
    host_begin(&h);
    tg_runtime_config c = config_of(&h, 2);
    assert_int_equal(tg_runtime_new(&c, &h.rt, &e), 0);
    assert_int_equal(tg_plugins_add_static(h.rt, &tester, &e), 0);
    assert_int_equal(tg_runtime_start(h.rt, &e), 0);
}

static int with(const char *name, const tg_label *labels, size_t n, uint32_t *out)
{
    return api->counter_with(tg_str(name), TG_LIT("Help."), labels, n, out);
}

static int64_t sum(const char *labels)
{
    return tg_metric_sum(tg_metric_find("tidegate_tester_frames", labels));
}

static void use_labels(void)
{
    const tg_label ab[] = {{TG_LIT("model"), TG_LIT("x\"1")},
                           {TG_LIT("bad"), TG_LIT("no")}};
    const tg_label ba[] = {ab[1], ab[0]};
    uint32_t one, same, other, none;
    assert_int_equal(with("frames", ab, 2, &one), 0);
    assert_int_equal(with("frames", ba, 2, &same), 0);
    assert_int_equal(one, same);
    assert_int_equal(with("frames", ab, 1, &other), 0);
    assert_int_equal(with("frames", NULL, 0, &none), 0);
    assert_true(one != other && other != none);
    api->add(one, 2);
    api->add(other, 5);
}

static void labels_in_any_order_are_one_counter(void **state)
{
    (void)state;
    run(use_labels);
    assert_int_equal(sum("bad=\"no\",model=\"x\\\"1\""), 2);
    assert_int_equal(sum("model=\"x\\\"1\""), 5);
    assert_int_equal(sum(""), 0);
    host_down(&h);
}

static void make_mistakes(void)
{
    static const char long_value[200] = {'x'};
    const char *const names[] = {"", "1st", "__own", "a-b", "a b", "\xc3\xa4"};
    uint32_t out;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const tg_label l = {tg_str(names[i]), TG_LIT("v")};
        assert_int_equal(with("m", &l, 1, &out), TG_E_INVAL);
    }
    const tg_label twice[] = {{TG_LIT("a"), TG_LIT("1")}, {TG_LIT("a"), TG_LIT("2")}};
    assert_int_equal(with("m", twice, 2, &out), TG_E_INVAL);
    const tg_label large = {TG_LIT("a"), {long_value, sizeof(long_value)}};
    assert_int_equal(with("m", &large, 1, &out), TG_E_INVAL);
    tg_label many[TG_LABELS_MAX + 1];
    for (size_t i = 0; i <= TG_LABELS_MAX; i++)
        many[i] = (tg_label){{&"abcdefghijk"[i], 1}, TG_LIT("v")};
    assert_int_equal(with("m", many, TG_LABELS_MAX, &out), 0);
    assert_int_equal(with("m", many, TG_LABELS_MAX + 1, &out), TG_E_INVAL);
    assert_int_equal(api->gauge(TG_LIT("m"), TG_LIT(""), &out), TG_E_EXISTS);
    assert_int_equal(api->gauge_with(TG_LIT("plain"), TG_LIT(""), NULL, 0, &out),
                     TG_E_EXISTS);
}

static void mistakes_are_told(void **state)
{
    (void)state;
    run(make_mistakes);
    host_down(&h);
}

static void make_too_many(void)
{
    char text[16];
    uint32_t out;
    int rc = 0, n = 0;
    for (; rc == 0 && n <= TG_SERIES_MAX; n++) {
        snprintf(text, sizeof(text), "%d", n);
        const tg_label l = {TG_LIT("device"), tg_str(text)};
        rc = with("frames", &l, 1, &out);
    }
    assert_int_equal(rc, TG_E_LIMIT);
    assert_int_equal(n, TG_SERIES_MAX + 1);
    const tg_label old = {TG_LIT("device"), TG_LIT("7")};
    assert_int_equal(with("frames", &old, 1, &out), 0); // what is there is found again
    assert_int_equal(with("others", &old, 1, &out), 0);
}

static void sets_of_labels_are_bounded(void **state)
{
    (void)state;
    run(make_too_many);
    host_down(&h);
}

static void each_worker_counts_in_a_cell_of_its_own(void **state)
{
    (void)state;
    run(NULL);
    assert_non_null(cells[0]);
    assert_non_null(cells[1]);
    assert_ptr_not_equal(cells[0], cells[1]);
    assert_null(api->cell(id)); // not a worker
    tg_count(NULL, 1);
    assert_int_equal(metric("tidegate_tester_plain"), 14);
    host_down(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_in_any_order_are_one_counter),
        cmocka_unit_test(mistakes_are_told),
        cmocka_unit_test(sets_of_labels_are_bounded),
        cmocka_unit_test(each_worker_counts_in_a_cell_of_its_own),
    };
    return RUN(tests);
}
