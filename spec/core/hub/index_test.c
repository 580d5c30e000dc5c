// SPDX-License-Identifier: Apache-2.0
// The index against a plain list and tg_topic_matches(), with filters and topics of a few short
// levels, so that they meet all the time; with enough filters that its segments split, and with
// more shapes than it serves.
#include "hub/index.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "hub/hub.h"

#include "../../support/check.h"

#define FILTERS 3000
#define TEXT 96

typedef struct item {
    tg_leaf leaf;
    bool in;
    unsigned hits;
    char text[TEXT];
} item;

static item items[FILTERS];
static tg_index idx;
static tg_limbo limbo;
static tg_slab slab;
static uint64_t seed;

static unsigned rnd(unsigned n)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(seed >> 33) % n;
}

static void make_text(char *out, bool wild)
{
    static const char *const levels[] = {"a",
                                         "b",
                                         "ab",
                                         "abcd",
                                         "",
                                         "$x",
                                         "a-",
                                         "abcde",
                                         "abcdefgh",
                                         "abcdefgi",
                                         "abcdefghijklmnopq",
                                         "\xc3\xbc"};
    unsigned n = 1 + rnd(4);
    out[0] = '\0';
    for (unsigned i = 0; i < n; i++) {
        unsigned what = rnd(wild ? 20 : 12);
        if (i > 0)
            strcat(out, "/");
        if (what == 19) {
            strcat(out, "#");
            return;
        }
        strcat(out, what >= 12 ? "+" : levels[what]);
    }
    if (out[0] == '\0')
        strcpy(out, "a");
}

static void hit(void *ctx, tg_leaf *l)
{
    (void)ctx;
    item *i = (item *)(void *)l;
    assert_true(i->in);
    i->hits++;
}

static tg_leaf *find(const char *text)
{
    tg_index_at at = tg_index_where(&idx, tg_str(text));
    return tg_index_find(&idx, &at, tg_str(text));
}

static void add(item *i)
{
    tg_index_at at = tg_index_where(&idx, tg_str(i->text));
    i->leaf = (tg_leaf){(uint16_t)strlen(i->text), offsetof(item, text), 0};
    assert_int_equal(tg_index_add(&idx, &at, &i->leaf), 0);
    i->in = true;
}

static void del(item *i)
{
    tg_index_del(&idx, &i->leaf);
    i->in = false;
}

static void toggle(void)
{
    item *i = &items[rnd(FILTERS)];
    if (i->in) {
        assert_ptr_equal(find(i->text), &i->leaf);
        del(i);
        assert_null(find(i->text));
        return;
    }
    make_text(i->text, true);
    if (tg_filter_valid(tg_str(i->text)) && find(i->text) == NULL)
        add(i);
}

// @return whether the index served it.
static bool compare(const char *topic)
{
    for (unsigned i = 0; i < FILTERS; i++)
        items[i].hits = 0;
    if (!tg_index_match(&idx, tg_str(topic), hit, NULL))
        return false;
    for (unsigned i = 0; i < FILTERS; i++) {
        bool want = items[i].in && tg_topic_matches(tg_str(items[i].text), tg_str(topic));
        if (items[i].hits != want)
            fail_msg("filter %s topic %s: %u hits", items[i].text, topic, items[i].hits);
    }
    return true;
}

static void begin(uint64_t with)
{
    seed = with;
    memset(items, 0, sizeof(items));
    limbo = (tg_limbo){0};
    limbo.owner = &slab;
    tg_index_init(&idx, tg_epoch_new(1), &limbo, &slab);
}

static void end(void)
{
    for (unsigned i = 0; i < FILTERS; i++)
        if (items[i].in)
            del(&items[i]);
    assert_null(atomic_load(&idx.shapes.plan));
    tg_limbo_free(&limbo);
    tg_epoch_free(idx.epoch);
    tg_index_free(&idx);
    tg_slab_clear(&slab);
}

static void it_matches_as_a_list_does(void **state)
{
    (void)state;
    for (uint64_t s = 1; s <= 4; s++) {
        begin(s);
        for (unsigned round = 0; round < 150; round++) {
            for (unsigned i = rnd(400); i > 0; i--)
                toggle();
            for (unsigned i = 0; i < 10; i++) {
                char topic[TEXT];
                make_text(topic, false);
                assert_true(compare(topic));
            }
        }
        end();
    }
}

// The same with one filter for each topic, so that buckets overflow and segments split.
static void it_grows_and_finds_every_filter(void **state)
{
    (void)state;
    begin(1);
    for (unsigned i = 0; i < FILTERS; i++) {
        snprintf(items[i].text, TEXT, i % 2 ? "plant/%u/+/value" : "plant/%u/line/value",
                 i);
        add(&items[i]);
    }
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < FILTERS; i++)
            assert_ptr_equal(find(items[i].text), items[i].in ? &items[i].leaf : NULL);
        for (unsigned i = 0; i < FILTERS; i += 97) {
            char topic[TEXT];
            snprintf(topic, TEXT, "plant/%u/line/value", i);
            assert_true(compare(topic));
        }
        for (unsigned i = round; i < FILTERS; i += 2)
            del(&items[i]);
    }
    end();
}

// Filter `i`: seven levels, '+' where `i` has a bit.
static void shape_text(char *out, unsigned i)
{
    out[0] = '\0';
    for (unsigned k = 0; k < 7; k++)
        strcat(out, (i >> k & 1) != 0 ? "+/" : "a/");
    out[strlen(out) - 1] = '\0';
}

static void more_shapes_than_it_serves_are_left_to_the_tree(void **state)
{
    (void)state;
    begin(1);
    for (unsigned i = 0; i < 128; i++) {
        shape_text(items[i].text, i);
        add(&items[i]);
        assert_int_equal(compare("a/a/a/a/a/a/a"), i < TG_SHAPES_MAX);
    }
    assert_true(compare("a/a/a/a/a/a"));
    strcpy(items[200].text, "a/#");
    add(&items[200]);
    assert_true(compare("a/a/a/a/a/a"));
    for (unsigned i = 128; i-- > 0;) {
        del(&items[i]);
        assert_int_equal(compare("a/a/a/a/a/a/a"), i < TG_SHAPES_MAX);
    }
    end();
}

static void deep(char *out, unsigned levels, const char *last)
{
    out[0] = '\0';
    for (unsigned i = 1; i < levels; i++)
        strcat(out, "/");
    strcat(out, last);
}

static void deeper_topics_are_left_to_the_tree(void **state)
{
    (void)state;
    begin(1);
    char topic[TEXT];
    for (unsigned n = TG_LEVELS - 2; n <= TG_LEVELS + 1; n++) {
        deep(items[n].text, n, n % 2 ? "#" : "+");
        add(&items[n]);
    }
    for (unsigned n = 1; n <= TG_LEVELS + 2; n++) {
        deep(topic, n, "a");
        assert_int_equal(compare(topic), n < TG_LEVELS);
    }
    end();
}

#define READERS 2
#define STEADY 16 // filters that stay
#define CHURNED 2000
#define ROUNDS 6

typedef struct reader {
    pthread_t thread;
    uint32_t n;
    unsigned hits[STEADY];
    unsigned wrong, matches;
} reader;

static atomic_bool stop;

static void steady_hit(void *ctx, tg_leaf *l)
{
    reader *r = ctx;
    if (l->user < STEADY)
        r->hits[l->user]++;
}

// Half of the steady filters match each topic, exactly once whatever happens beside them.
static void *read_on(void *arg)
{
    reader *r = arg;
    char topic[TEXT];
    do {
        snprintf(topic, TEXT, "plant/%u/line/value", r->matches % CHURNED);
        memset(r->hits, 0, sizeof(r->hits));
        tg_epoch_enter(idx.epoch, r->n);
        bool served = tg_index_match(&idx, tg_str(topic), steady_hit, r);
        tg_epoch_leave(idx.epoch, r->n);
        for (unsigned i = 0; i < STEADY; i++)
            r->wrong += !served || r->hits[i] != (i % 2 == 0);
        r->matches++;
    } while (!atomic_load(&stop));
    return NULL;
}

static tg_leaf *put(uint32_t user, const char *text)
{
    item *i = calloc(1, sizeof(*i));
    assert_non_null(i);
    strcpy(i->text, text);
    i->leaf = (tg_leaf){(uint16_t)strlen(text), offsetof(item, text), user};
    tg_index_at at = tg_index_where(&idx, tg_str(text));
    assert_int_equal(tg_index_add(&idx, &at, &i->leaf), 0);
    return &i->leaf;
}

static void take(tg_leaf *l)
{
    tg_index_del(&idx, l);
    tg_limbo_add(&limbo, idx.epoch, l, tg_limbo_malloced);
}

// The even ones fit "plant/<any>/line/value", each in a shape of its own; the odd ones fit no
// topic of four levels.
static void steady_text(char *out, uint32_t i)
{
    static const char *const ends[] = {"+", "+/x", "#", "x/#"};
    snprintf(out, TEXT, "%s/+/%s/%s", (i & 2) != 0 ? "+" : "plant",
             (i & 4) != 0 ? "+" : "line", ends[(i >> 3 & 1) * 2 + i % 2]);
}

static void churn(tg_leaf **churned)
{
    for (unsigned i = 0; i < CHURNED; i++) {
        char text[TEXT];
        snprintf(text, TEXT, i % 2 ? "plant/%u/+/value" : "plant/%u/line/value", i);
        churned[i] = put(STEADY, text);
    }
    for (unsigned i = 0; i < CHURNED; i++)
        take(churned[i]);
}

static void readers_find_what_stays_while_it_grows_and_shrinks(void **state)
{
    (void)state;
    reader readers[READERS] = {0};
    tg_leaf *steady[STEADY];
    static tg_leaf *churned[CHURNED];
    limbo = (tg_limbo){.owner = &slab};
    tg_index_init(&idx, tg_epoch_new(READERS), &limbo, &slab);
    for (uint32_t i = 0; i < STEADY; i++) {
        char text[TEXT];
        steady_text(text, i);
        steady[i] = put(i, text);
    }
    atomic_store(&stop, false);
    for (uint32_t i = 0; i < READERS; i++) {
        readers[i].n = i;
        pthread_create(&readers[i].thread, NULL, read_on, &readers[i]);
    }
    for (unsigned i = 0; i < ROUNDS; i++)
        churn(churned);
    atomic_store(&stop, true);
    for (unsigned i = 0; i < READERS; i++) {
        pthread_join(readers[i].thread, NULL);
        assert_int_equal(readers[i].wrong, 0);
    }
    for (unsigned i = 0; i < STEADY; i++)
        take(steady[i]);
    tg_limbo_free(&limbo);
    tg_epoch_free(idx.epoch);
    tg_index_free(&idx);
    tg_slab_clear(&slab);
}

int main(void)
{
    tg_hash_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_matches_as_a_list_does),
        cmocka_unit_test(it_grows_and_finds_every_filter),
        cmocka_unit_test(more_shapes_than_it_serves_are_left_to_the_tree),
        cmocka_unit_test(deeper_topics_are_left_to_the_tree),
        cmocka_unit_test(readers_find_what_stays_while_it_grows_and_shrinks),
    };
    return RUN(tests);
}
