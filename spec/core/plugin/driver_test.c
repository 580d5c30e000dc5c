// SPDX-License-Identifier: Apache-2.0
// Drivers called as a script engine calls them: by a plugin that is linked in.
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "plugin/op.h"

#include "host.h"

static host h;
static tg_self *me;
static const tg_engine_api *engine;
static const tg_host *abi;

static int load(const tg_host *given, tg_self *self)
{
    me = self;
    abi = given;
    engine = given->query("engine", 1, 0);
    assert_null(given->query("engine", 2, 0));
    assert_null(given->query("engine", 1, 99));
    assert_null(given->query("nothing", 1, 0));
    return engine != NULL ? 0 : TG_E_VERSION;
}

static const tg_plugin tester = {.magic = TG_PLUGIN_MAGIC,
                                 .size = sizeof(tg_plugin),
                                 .abi_major = TG_ABI_MAJOR,
                                 .id = "tester",
                                 .version = "1.0.0",
                                 .life = {.load = load}};

static int up(void **state)
{
    (void)state;
    host_begin(&h);
    tg_runtime_config c = config_of(&h, 2);
    tg_error e = {0};
    assert_int_equal(tg_runtime_new(&c, &h.rt, &e), 0);
    assert_int_equal(tg_plugins_add_static(h.rt, &tester, &e), 0);
    assert_int_equal(tg_plugins_add_static(h.rt, &tester, &e), TG_E_EXISTS);
    assert_int_equal(tg_runtime_start(h.rt, &e), 0);
    install("probe", installed(&h, "probe"));
    must_load(&h, "probe", NULL);
    return 0;
}

static int down(void **state)
{
    (void)state;
    host_down(&h);
    return 0;
}

typedef struct asked {
    const char *driver, *method, *text;
    uint32_t worker;
    sem_t answered;
    int returned, code, answers;
    bool inside, early; ///< done ran inside of the call; on another worker
    char value[128];
} asked;

static void on_done(void *ctx, int code, const tg_value *value)
{
    asked *a = ctx;
    a->code = code;
    a->answers++;
    a->early = a->inside || abi->worker() != a->worker;
    if (value != NULL && value->kind == TG_LIST)
        value = &value->list.items[0];
    if (value != NULL && value->kind == TG_STR)
        snprintf(a->value, sizeof(a->value), "%.*s", (int)value->string.len,
                 value->string.at);
    sem_post(&a->answered);
}

static void call_now(void *ctx)
{
    asked *a = ctx;
    tg_value text = tg_value_of_str(a->text);
    tg_value args = {.kind = TG_LIST, .list = {&text, 1}};
    a->inside = true;
    a->returned = engine->call(me, tg_str(a->driver), tg_str(a->method), &args, on_done, a);
    a->inside = false;
    if (a->returned < 0)
        sem_post(&a->answered);
}

static void begin(asked *a, uint32_t worker)
{
    a->worker = worker;
    sem_init(&a->answered, 0, 0);
    tg_worker_run(tg_workers_at(tg_runtime_workers(h.rt), worker), call_now, a);
}

static void finish(asked *a)
{
    // With no deadline of its own: ThreadSanitizer does not know sem_clockwait, and one that
    // hangs is ended by who runs the tests.
    assert_int_equal(TEMP_FAILURE_RETRY(sem_wait(&a->answered)), 0);
    assert_false(a->early);
    assert_int_equal(a->answers, a->returned < 0 ? 0 : 1);
    sem_destroy(&a->answered);
}

static asked ask(const char *driver, const char *method, const char *text)
{
    asked a = {.driver = driver, .method = method, .text = text};
    begin(&a, 1);
    finish(&a);
    return a;
}

static void an_answer_comes_once_and_after_the_call(void **state)
{
    (void)state;
    asked a = ask("probe", "echo", "hello");
    assert_int_equal(a.code, 0);
    assert_string_equal(a.value, "hello");
    a = ask("probe", "thread", "");
    assert_string_equal(a.value, "from a thread");
    a = ask("probe", "fail", "");
    assert_int_equal(a.code, TG_E_IO);
}

static void what_cannot_start_is_not_answered(void **state)
{
    (void)state;
    assert_int_equal(ask("probe", "nonsense", "").returned, TG_E_UNSUPPORTED);
    assert_int_equal(ask("nobody", "echo", "").returned, TG_E_NOTFOUND);
    assert_int_equal(ask("no/id", "echo", "").returned, TG_E_INVAL);
}

static void a_reload_waits_for_calls_under_way(void **state)
{
    (void)state;
    tg_error e = {0};
    asked a = {.driver = "probe", .method = "thread", .text = ""};
    asked never = {.driver = "probe", .method = "never", .text = ""};
    begin(&a, 0);
    begin(&never, 0);
    finish(&a);
    assert_int_equal(tg_plugins_reload(h.rt, "probe", &e), 0);
    for (int i = 0; i < 5; i++)
        pump(&h);
    assert_int_equal(look(&h).versions, 3); // tester, and two of the probe
    asked b = ask("probe", "echo", "newer");
    assert_string_equal(b.value, "newer");
    assert_int_equal(never.answers, 0); // and never will: the asker ends with the host
}

static void waits_are_given_up_at_their_deadline(void **state)
{
    (void)state;
    tg_error e = {0};
    asked never = {.driver = "probe", .method = "never", .text = ""};
    h.rt->waits_ms = 100;
    tg_log_set_level("plugin", TG_LOG_ERROR);
    begin(&never, 0);
    assert_string_equal(ask("probe", "echo", "x").value, "x");
    assert_int_equal(tg_plugins_reload(h.rt, "probe", &e), 0);
    assert_int_equal(look(&h).versions, 3);
    finish(&never);
    assert_int_equal(never.code, TG_E_RELOADED);
    UNTIL(&h, look(&h).versions == 2);
}

static void the_sample_asks_and_reads(void **state)
{
    (void)state;
    char sample[400], address[64], file[300], config[64];
    snprintf(sample, sizeof(sample), "%s", built("x"));
    char *at = strstr(sample, "/spec/plugins/");
    assert_non_null(at);
    strcpy(at, "/plugins/ask.so");
    must_listen(&h,
                "{\"name\": \"peer\", \"adapter\": \"probe\", \"bind\": \"127.0.0.1:0\"}",
                address);
    snprintf(config, sizeof(config), "{\"port\": %s}", strrchr(address, ':') + 1);
    must_load(&h, sample, config);
    assert_string_equal(ask("ask", "ask", "echo hello").value, "1.0.0 hello");
    assert_int_equal(tg_listeners_close(h.rt, "peer"), 0);
    UNTIL(&h, ask("ask", "ask", "echo hello").code == TG_E_REFUSED);
    snprintf(file, sizeof(file), "%s/text", h.folder);
    spill(file, "some text", 9);
    assert_string_equal(ask("ask", "read", file).value, "some text");
    assert_int_equal(ask("ask", "read", "/nonexistent").code, TG_E_NOTFOUND);
    must_listen(&h, "{\"name\": \"echo\", \"adapter\": \"ask\", \"bind\": \"127.0.0.1:0\"}",
                address);
    int fd = dial_to(address);
    type(fd, "the same");
    EXPECT(fd, "the same");
    close(fd);
}

// Completions from several threads at once, each op by two of them: one wins.

#define OPS 2000

static tg_op ops[OPS];
static atomic_int won, ran;
static sem_t made;

static void count_done(void *ctx, int code, const tg_value *value)
{
    (void)ctx, (void)code, (void)value;
    atomic_fetch_add(&ran, 1);
}

static void make_ops(void *ctx)
{
    (void)ctx;
    for (int i = 0; i < OPS; i++) {
        tg_op_spec spec = {.done = count_done};
        ops[i] = tg_op_new(&spec);
    }
    sem_post(&made);
}

static void *complete_all(void *arg)
{
    tg_value text = tg_value_of_str("x");
    for (int i = 0; i < OPS; i++) {
        int rc = abi->complete(ops[arg != NULL ? OPS - 1 - i : i], 0, &text);
        assert_true(rc == 0 || rc == TG_E_CLOSED);
        atomic_fetch_add(&won, rc == 0);
    }
    return NULL;
}

static void of_two_completions_one_counts(void **state)
{
    (void)state;
    pthread_t t[2];
    sem_init(&made, 0, 0);
    atomic_store(&won, 0);
    atomic_store(&ran, 0);
    for (int round = 1; round <= 3; round++) {
        tg_worker_run(tg_workers_at(tg_runtime_workers(h.rt), 0), make_ops, NULL);
        sem_wait(&made);
        for (int i = 0; i < 2; i++)
            pthread_create(&t[i], NULL, complete_all, i == 0 ? NULL : ops);
        for (int i = 0; i < 2; i++)
            pthread_join(t[i], NULL);
        UNTIL(&h, atomic_load(&ran) == OPS * round);
        assert_int_equal(atomic_load(&won), OPS * round);
    }
    assert_int_equal(abi->complete(ops[0], 0, NULL), TG_E_CLOSED);
    assert_int_equal(abi->complete((tg_op){0}, 0, NULL), TG_E_CLOSED);
    assert_int_equal(abi->complete((tg_op){UINT64_MAX}, 0, NULL), TG_E_CLOSED);
    sem_destroy(&made);
}

static atomic_int posted;

static void on_post(void *ctx)
{
    assert_int_equal(abi->worker(), (uint32_t)(uintptr_t)ctx);
    atomic_fetch_add(&posted, 1);
}

static void any_thread_gets_in_by_post(void **state)
{
    (void)state;
    atomic_store(&posted, 0);
    assert_int_equal(abi->worker(), UINT32_MAX);
    assert_int_equal(abi->workers, 2);
    assert_int_equal(abi->post(me, 2, on_post, NULL), TG_E_INVAL);
    assert_int_equal(abi->post(me, 0, on_post, (void *)0), 0);
    assert_int_equal(abi->post(me, 1, on_post, (void *)1), 0);
    UNTIL(&h, atomic_load(&posted) == 2);
    tg_runtime_stop(h.rt, 100);
    assert_int_equal(abi->complete((tg_op){1}, 0, NULL), TG_E_CLOSED);
}

#define T(name) cmocka_unit_test_setup_teardown(name, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(an_answer_comes_once_and_after_the_call),
        T(what_cannot_start_is_not_answered),
        T(a_reload_waits_for_calls_under_way),
        T(waits_are_given_up_at_their_deadline),
        T(the_sample_asks_and_reads),
        T(of_two_completions_one_counts),
        T(any_thread_gets_in_by_post),
    };
    return RUN(tests);
}
