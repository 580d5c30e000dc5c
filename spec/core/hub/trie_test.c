// SPDX-License-Identifier: Apache-2.0
// The tree against a plain list and tg_topic_matches(), with filters and topics of a few short
// levels, so that they meet, nest and share beginnings all the time.
#include "hub/trie.h"

#include <stdlib.h>

#include "hub/hub.h"

#include "../../support/check.h"

#define FILTERS 400
#define TEXT 64

typedef struct item {
    tg_leaf leaf;
    bool in;
    unsigned hits;
    char text[TEXT];
} item;

static item items[FILTERS];
static tg_trie trie;
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
    static const char *const levels[] = {"a", "b", "ab", "abc", "", "$x", "a-b", "b0", "ü"};
    unsigned n = 1 + rnd(5);
    out[0] = '\0';
    for (unsigned i = 0; i < n; i++) {
        unsigned what = rnd(wild ? 14 : 9);
        if (i > 0)
            strcat(out, "/");
        if (what == 13) {
            strcat(out, "#");
            return;
        }
        strcat(out, what >= 9 ? "+" : levels[what]);
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

static void add(item *i)
{
    do
        make_text(i->text, true);
    while (!tg_filter_valid(tg_str(i->text)) ||
           tg_trie_find(&trie, tg_str(i->text)) != NULL);
    i->leaf = (tg_leaf){(uint16_t)strlen(i->text), offsetof(item, text), 0};
    assert_int_equal(tg_trie_add(&trie, &i->leaf), 0);
    i->in = true;
}

static void toggle(void)
{
    item *i = &items[rnd(FILTERS)];
    if (!i->in) {
        add(i);
        return;
    }
    assert_ptr_equal(tg_trie_find(&trie, tg_str(i->text)), &i->leaf);
    assert_int_equal(tg_trie_del(&trie, &i->leaf), 0);
    assert_null(tg_trie_find(&trie, tg_str(i->text)));
    i->in = false;
}

static void compare(void)
{
    char topic[TEXT];
    make_text(topic, false);
    for (unsigned i = 0; i < FILTERS; i++)
        items[i].hits = 0;
    tg_trie_match(&trie, tg_str(topic), hit, NULL);
    for (unsigned i = 0; i < FILTERS; i++) {
        bool want = items[i].in && tg_topic_matches(tg_str(items[i].text), tg_str(topic));
        if (items[i].hits != want)
            fail_msg("filter %s topic %s: %u hits", items[i].text, topic, items[i].hits);
    }
}

static int by_text(const void *a, const void *b)
{
    return strcmp((*(item *const *)a)->text, (*(item *const *)b)->text);
}

static void compare_order(void)
{
    item *sorted[FILTERS];
    unsigned n = 0;
    for (unsigned i = 0; i < FILTERS; i++)
        if (items[i].in)
            sorted[n++] = &items[i];
    qsort(sorted, n, sizeof(sorted[0]), by_text);
    tg_slice at = {"", 0};
    for (unsigned i = 0; i < n; i++) {
        tg_leaf *l = tg_trie_next(&trie, at, false);
        assert_ptr_equal(l, &sorted[i]->leaf);
        assert_ptr_equal(tg_trie_next(&trie, tg_leaf_text(l), true), l);
        at = tg_leaf_text(l);
    }
    assert_null(tg_trie_next(&trie, at, false));
    char text[TEXT];
    make_text(text, true);
    unsigned i = 0;
    while (i < n && strcmp(sorted[i]->text, text) <= 0)
        i++;
    assert_ptr_equal(tg_trie_next(&trie, tg_str(text), false),
                     i < n ? &sorted[i]->leaf : NULL);
}

static void begin(uint64_t with)
{
    seed = with;
    memset(items, 0, sizeof(items));
    limbo = (tg_limbo){0};
    limbo.owner = &slab;
    trie = (tg_trie){.epoch = tg_epoch_new(1), .limbo = &limbo, .slab = &slab};
}

static void forget(tg_slab *s, tg_leaf *l)
{
    (void)s;
    ((item *)(void *)l)->in = false;
}

static void end(void)
{
    tg_limbo_free(&limbo);
    tg_trie_clear(&trie, forget);
    for (unsigned i = 0; i < FILTERS; i++)
        assert_false(items[i].in);
    tg_slab_clear(&slab);
    tg_epoch_free(trie.epoch);
}

static void it_matches_as_a_list_does(void **state)
{
    (void)state;
    for (uint64_t s = 1; s <= 20; s++) {
        begin(s);
        for (unsigned round = 0; round < 400; round++) {
            for (unsigned i = rnd(20); i > 0; i--)
                toggle();
            for (unsigned i = 0; i < 10; i++)
                compare();
            if (round % 40 == 0)
                compare_order();
        }
        for (unsigned i = 0; i < FILTERS; i++)
            if (items[i].in)
                assert_int_equal(tg_trie_del(&trie, &items[i].leaf), 0);
        for (unsigned i = 0; i < FILTERS; i++)
            items[i].in = false;
        assert_int_equal(atomic_load(&trie.root), 0);
        end();
    }
}

// All bytes that text may have, as siblings: the small node, the table, and back.
static void it_branches_as_wide_as_text_does(void **state)
{
    (void)state;
    begin(1);
    unsigned n = 0;
    for (unsigned c = 1; c < 128; c++) {
        if (c == '+' || c == '#')
            continue;
        item *i = &items[n++];
        i->text[0] = 'x';
        i->text[1] = (char)c;
        i->leaf = (tg_leaf){2, offsetof(item, text), 0};
        i->in = true;
        assert_int_equal(tg_trie_add(&trie, &i->leaf), 0);
    }
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < n; i++) {
            items[i].hits = 0;
            tg_trie_match(&trie, tg_leaf_text(&items[i].leaf), hit, NULL);
            assert_int_equal(items[i].hits, items[i].in);
        }
        for (unsigned i = round; i < n; i += 2) {
            assert_int_equal(tg_trie_del(&trie, &items[i].leaf), 0);
            items[i].in = false;
        }
    }
    assert_int_equal(atomic_load(&trie.root), 0);
    end();
}

typedef struct deep {
    tg_leaf leaf;
    unsigned hits;
    char text[2 * TG_TRIE_LEVELS];
} deep;

static void deep_hit(void *ctx, tg_leaf *l)
{
    (void)ctx;
    ((deep *)(void *)l)->hits++;
}

// One filter of wildcards alone, one of names alone, one for each level where they part.
static void the_deepest_topic_opens_a_way_at_every_level(void **state)
{
    (void)state;
    enum { LEVELS = TG_TRIE_LEVELS - 1 };
    begin(1);
    deep *all = calloc(LEVELS + 1, sizeof(*all));
    for (unsigned i = 0; i <= LEVELS; i++) {
        for (unsigned k = 0; k < LEVELS; k++)
            memcpy(all[i].text + 2 * k, k < i ? "a/" : "+/", 2);
        all[i].leaf = (tg_leaf){2 * LEVELS - 1, offsetof(deep, text), 0};
        assert_int_equal(tg_trie_add(&trie, &all[i].leaf), 0);
    }
    tg_trie_match(&trie, tg_leaf_text(&all[LEVELS].leaf), deep_hit, NULL);
    for (unsigned i = 0; i <= LEVELS; i++)
        assert_int_equal(all[i].hits, 1);
    for (unsigned i = 0; i <= LEVELS; i++)
        assert_int_equal(tg_trie_del(&trie, &all[i].leaf), 0);
    free(all);
    end();
}

static unsigned freed;
static void count_free(void *owner, void *p)
{
    (void)owner;
    (void)p;
    freed++;
}

static void what_a_reader_may_hold_is_not_freed(void **state)
{
    (void)state;
    tg_epoch *e = tg_epoch_new(2);
    tg_limbo l = {0};
    freed = 0;
    tg_epoch_enter(e, 0);
    tg_limbo_add(&l, e, &freed, count_free);
    tg_limbo_reclaim(&l, e);
    tg_epoch_enter(e, 1); // came later: it holds nobody up
    tg_limbo_reclaim(&l, e);
    assert_int_equal(freed, 0);
    tg_epoch_leave(e, 0);
    tg_limbo_reclaim(&l, e);
    assert_int_equal(freed, 1);
    tg_limbo_add(&l, e, &freed, count_free);
    tg_limbo_reclaim(&l, e);
    assert_int_equal(freed, 1);
    tg_epoch_leave(e, 1);
    tg_limbo_free(&l);
    assert_int_equal(freed, 2);
    tg_epoch_free(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_matches_as_a_list_does),
        cmocka_unit_test(it_branches_as_wide_as_text_does),
        cmocka_unit_test(the_deepest_topic_opens_a_way_at_every_level),
        cmocka_unit_test(what_a_reader_may_hold_is_not_freed),
    };
    return RUN(tests);
}
