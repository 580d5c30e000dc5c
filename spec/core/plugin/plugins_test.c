// SPDX-License-Identifier: Apache-2.0
// Loading, refusing and replacing plugins in a running host.
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "host.h"

static host h;

static int up(void **state)
{
    (void)state;
    host_up(&h);
    return 0;
}

static int bare(void **state)
{
    (void)state;
    host_begin(&h);
    tg_runtime_config c = config_of(&h, 2);
    host_start(&h, &c);
    return 0;
}

static int down(void **state)
{
    (void)state;
    host_down(&h);
    return 0;
}

static void refused(const char *name, const char *config, int code, const char *why)
{
    tg_error e = {0};
    const tg_value *v = config != NULL ? json(&h, config) : NULL;
    int rc = tg_plugins_load(h.rt, name, v, "etc/test.lua", "plugins.x", &e);
    if (rc != code || strstr(e.message, why) == NULL)
        fail_msg("%s: %d %s", name, rc, e.message);
    assert_int_equal(look(&h).versions, 0);
}

static void no_adapter(const char *name)
{
    char spec[200];
    tg_error e = {0};
    snprintf(spec, sizeof(spec),
             "{\"name\": \"l\", \"adapter\": \"%s\", \"bind\": \"127.0.0.1:0\"}", name);
    assert_int_equal(
        tg_listeners_open(h.rt, json(&h, spec), NULL, "listeners[1]", NULL, 0, &e),
        TG_E_NOTFOUND);
}

static void bad_plugins_are_refused_with_the_reason(void **state)
{
    (void)state;
    refused("nothing", NULL, TG_E_NOTFOUND, "plugin 'nothing' is not in");
    refused("/nonexistent/x.so", NULL, TG_E_NOTFOUND, "/nonexistent/x.so");
    refused(built("abi_major"), NULL, TG_E_VERSION, "built for ABI 2, this host has 1.");
    refused(built("abi_minor"), NULL, TG_E_VERSION, "needs ABI 1.");
    refused(built("no_symbol"), NULL, TG_E_MALFORMED, "does not export tg_plugin_v1");
    refused(built("bad_id"), NULL, TG_E_MALFORMED, "its id");
    refused(built("bad_capability"), NULL, TG_E_VERSION, "capabilities");
    refused(built("bad_schema"), NULL, TG_E_MALFORMED, "its schema is no JSON");
    refused(built("no_load"), NULL, TG_E_MALFORMED, "it has no load()");
    refused(built("probe"), "{\"fial\": \"x\"}", TG_E_INVAL, "did you mean 'fail'?");
    refused(built("probe"), "{\"fail\": 1}", TG_E_INVAL, "plugins.x.fail");
}

static void a_symbol_that_nobody_has_is_named(void **state)
{
    (void)state;
    size_t len;
    char *bytes = slurp(built("no_load"), &len);
    char *name = memmem(bytes, len, "\0getppid", 9);
    assert_non_null(name);
    memcpy(name + 1, "getppiX", 7);
    spill(installed(&h, "spoiled"), bytes, len);
    free(bytes);
    refused("spoiled", NULL, TG_E_MALFORMED, "getppiX");
}

static void a_load_that_fails_half_way_leaves_nothing(void **state)
{
    (void)state;
    int64_t destroys = told("destroys"), unloads = told("unloads"), starts = told("starts");
    refused(built("probe"), "{\"fail\": \"load\"}", TG_E_IO,
            "load failed: the test said so");
    assert_int_equal(told("destroys") - destroys, 5);
    assert_int_equal(told("unloads") - unloads, 0); // a load that failed has undone its own
    assert_int_equal(told("starts") - starts, 0);
    no_adapter("probe");
    must_load(&h, built("probe"), NULL);
    assert_int_equal(look(&h).versions, 1);
}

static void a_start_that_fails_on_one_worker_fails_on_all(void **state)
{
    (void)state;
    int64_t stops = told("stops"), unloads = told("unloads"), destroys = told("destroys");
    refused(built("probe"), "{\"fail\": \"start\"}", TG_E_LIMIT,
            "start failed: not on worker 1");
    assert_int_equal(told("stops") - stops, 1);
    assert_int_equal(told("unloads") - unloads, 1);
    assert_int_equal(told("destroys") - destroys, 5);
    no_adapter("probe");
}

static void a_store_that_cannot_be_read_ends_where_it_has_started(void **state)
{
    (void)state;
    host h2;
    tg_error e = {0};
    host_begin(&h2);
    tg_runtime_config c = config_of(&h2, 2);
    c.store = TG_LIT("bad");
    host_start(&h2, &c);
    install("bad_store", installed(&h2, "bad_store"));
    assert_true(tg_plugins_load(h2.rt, "bad_store", NULL, NULL, "bad_store", &e) < 0);
    assert_non_null(strstr(e.message, "could not be read"));
    for (int i = 0; i < 5; i++)
        pump(&h2); // its timers would run now
    host_down(&h2);
}

static void one_plugin_is_loaded_once(void **state)
{
    (void)state;
    tg_error e = {0};
    assert_int_equal(tg_plugins_load(h.rt, built("probe_v2"), NULL, NULL, NULL, &e),
                     TG_E_EXISTS);
    assert_non_null(strstr(e.message, "plugin 'probe' is loaded already"));
    assert_int_equal(look(&h).versions, 1);
}

static void must_reload(void)
{
    tg_error e = {0};
    if (tg_plugins_reload(h.rt, "probe", &e) < 0)
        fail_msg("%s", e.message);
}

static void a_reload_serves_new_connections_and_drains_the_old(void **state)
{
    (void)state;
    int64_t stops = told("stops"), unloads = told("unloads"), drains = told("drains");
    int old = dial_to(h.address);
    type(old, "echo x");
    EXPECT(old, "1.0.0 x");
    install("probe_v2", installed(&h, "probe"));
    must_reload();
    int new = dial_to(h.address);
    type(new, "echo x");
    EXPECT(new, "2.0.0 x");
    type(old, "echo still");
    EXPECT(old, "1.0.0 still");
    seen s = look(&h);
    assert_int_equal(s.versions, 2);
    assert_int_equal(s.live, 1);
    assert_int_equal(s.connections, 2);
    assert_int_equal(told("drains") - drains, 2);
    close(old);
    UNTIL(&h, look(&h).versions == 1);
    assert_string_equal(look(&h).version, "2.0.0");
    assert_int_equal(told("stops") - stops, 2);
    assert_int_equal(told("unloads") - unloads, 1);
    close(new);
}

static void a_reload_that_fails_leaves_the_running_version(void **state)
{
    (void)state;
    const char *bad[] = {"abi_major", "abi_minor", "no_symbol", "bad_id", "no_load"};
    int fd = dial_to(h.address);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        tg_error e = {0};
        install(bad[i], installed(&h, "probe"));
        assert_true(tg_plugins_reload(h.rt, "probe", &e) < 0);
        type(fd, "echo x");
        EXPECT(fd, "1.0.0 x");
        seen s = look(&h);
        assert_int_equal(s.versions, 1);
        assert_string_equal(s.state, "live");
    }
    tg_error e = {0};
    spill(installed(&h, "probe"), "\177ELF", 4);
    assert_int_equal(tg_plugins_reload(h.rt, "probe", &e), TG_E_MALFORMED);
    assert_int_equal(tg_plugins_reload(h.rt, "nothing", &e), TG_E_NOTFOUND);
    int new = dial_to(h.address);
    type(new, "echo x");
    EXPECT(new, "1.0.0 x");
    close(new);
    close(fd);
}

static void a_fifth_version_waits_for_an_old_one(void **state)
{
    (void)state;
    tg_error e = {0};
    int fd[4];
    for (int i = 0; i < 4; i++) {
        fd[i] = dial_to(h.address);
        type(fd[i], "echo x");
        EXPECT(fd[i], "1.0.0 x");
        if (i < 3)
            must_reload();
    }
    assert_int_equal(tg_plugins_reload(h.rt, "probe", &e), TG_E_BUSY);
    assert_int_equal(look(&h).versions, 4);
    close(fd[1]);
    UNTIL(&h, look(&h).versions == 3);
    must_reload();
    for (int i = 0; i < 4; i++)
        if (i != 1)
            close(fd[i]);
    UNTIL(&h, look(&h).versions == 1);
}

// What the old version waits for keeps it: its blocking job comes home, its session moves on.
static void an_old_version_ends_its_waits_first(void **state)
{
    (void)state;
    int fd = dial_to(h.address);
    type(fd, "login one late"); // answered by a thread of the old version
    must_reload();
    EXPECT(fd, "in one 0 0");
    type(fd, "sub t");
    EXPECT(fd, "sub 0");
    int new = dial_to(h.address);
    type(new,
         "login one ok"); // in the new version: taken over from the old one's connection
    EXPECT(new, "in one 0 1");
    EXPECT(fd, "out -23");
    hung_up(fd);
    UNTIL(&h, look(&h).versions == 1);
    type(new, "pub t x");
    hear(new);
    hear(new);
    close(new);
}

// Devices that talk all the time, while the plugin is replaced again and again.

#define DEVICES 8

typedef struct device {
    pthread_t thread;
    atomic_bool *stop;
    atomic_int rounds;
    int lost;
    bool stays; // on its first connection
} device;

static bool talk_once(int fd, int n)
{
    char ask[32], want[32];
    snprintf(ask, sizeof(ask), "echo %d\n", n);
    snprintf(want, sizeof(want), ".0.0 %d\n", n);
    if (send(fd, ask, strlen(ask), MSG_NOSIGNAL) < 0)
        return false;
    char text[64];
    size_t got = 0;
    while (got < sizeof(text) - 1) {
        ssize_t k = TEMP_FAILURE_RETRY(recv(fd, text + got, 1, 0));
        if (k <= 0)
            return false;
        if (text[got++] == '\n')
            break;
    }
    text[got] = '\0';
    return strcmp(text + 1, want) == 0;
}

static void *talk(void *arg)
{
    device *d = arg;
    int fd = dial_to(h.address);
    while (!atomic_load(d->stop)) {
        int n = atomic_fetch_add(&d->rounds, 1) + 1;
        if (!talk_once(fd, n))
            d->lost++;
        if (!d->stays && n % 5 == 0) {
            close(fd);
            fd = dial_to(h.address);
        }
        usleep(500);
    }
    close(fd);
    return NULL;
}

static size_t memory(void)
{
    size_t pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f != NULL) {
        if (fscanf(f, "%*u %zu", &pages) != 1)
            pages = 0;
        fclose(f);
    }
    return pages * 4096;
}

static void a_hundred_reloads_lose_no_connection(void **state)
{
    (void)state;
    atomic_bool stop = false;
    device d[DEVICES] = {0};
    size_t before = 0;
    for (int i = 0; i < DEVICES; i++) {
        d[i].stop = &stop;
        pthread_create(&d[i].thread, NULL, talk, &d[i]);
    }
    for (int i = 0; i < 100; i++) {
        if (i == 20)
            before = memory();
        install(i % 2 ? "probe" : "probe_v2", installed(&h, "probe"));
        must_reload();
        UNTIL(&h, look(&h).versions <= 3);
    }
    size_t after = memory();
    for (int i = 0; i < DEVICES; i++)
        UNTIL(&h, atomic_load(&d[i].rounds) > 10);
    atomic_store(&stop, true);
    for (int i = 0; i < DEVICES; i++) {
        pthread_join(d[i].thread, NULL);
        assert_int_equal(d[i].lost, 0);
    }
    UNTIL(&h, look(&h).versions == 1 && look(&h).connections == 0);
#ifndef TG_SANITIZED
    assert_true(after < before + (8 << 20));
#endif
    (void)before, (void)after;
}

static bool refuses(int fd, const char *text)
{
    return send(fd, text, strlen(text), MSG_NOSIGNAL) < 0 && errno != EAGAIN &&
           errno != EINTR;
}

// Sends whatever it can think of until it is hung up on, and reads nothing in between.
static void *clamour(void *arg)
{
    static const char *const all[] = {"work",  "timer x", "echo y", "kv z", "pub t hello",
                                      "sub t", "poll",    "dial 1", "idle", "info"};
    device *d = arg;
    int fd = dial_to(h.address);
    struct timeval soon = {0, 20000};
    char login[32], text[4096];
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof(soon));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon));
    snprintf(login, sizeof(login), "login d%d late", d->rounds);
    type(fd, login);
    usleep(50000);
    for (int i = d->rounds;; i++) {
        if (refuses(fd, all[i % 10]) || refuses(fd, "\n"))
            break;
        if (recv(fd, text, sizeof(text), MSG_DONTWAIT) == 0)
            break;
    }
    close(fd);
    return NULL;
}

static void stopping_in_the_middle_of_everything_is_clean(void **state)
{
    (void)state;
    device d[6] = {0};
    for (int i = 0; i < 6; i++) {
        d[i].rounds = i;
        pthread_create(&d[i].thread, NULL, clamour, &d[i]);
    }
    UNTIL(&h, look(&h).connections == 6);
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 10; k++)
            pump(&h);
        must_reload();
    }
    tg_runtime_stop(h.rt, 300);
    for (int i = 0; i < 6; i++)
        pthread_join(d[i].thread, NULL);
}

// A reload must not wait for devices that stay: those hold one version each at most.
static void devices_that_stay_hold_their_version(void **state)
{
    (void)state;
    atomic_bool stop = false;
    device d = {.stop = &stop, .stays = true};
    pthread_create(&d.thread, NULL, talk, &d);
    UNTIL(&h, look(&h).connections == 1);
    for (int i = 0; i < 10; i++)
        must_reload();
    UNTIL(&h, look(&h).versions == 2);
    atomic_store(&stop, true);
    pthread_join(d.thread, NULL);
    assert_int_equal(d.lost, 0);
    UNTIL(&h, look(&h).versions == 1);
}

static void slow_callbacks_are_reported(void **state)
{
    (void)state;
    int pipe_[2];
    char text[2000] = "";
    assert_int_equal(pipe2(pipe_, O_CLOEXEC), 0);
    tg_log_open(pipe_[1], TG_LOG_JSON);
    tg_log_set_level("plugin", TG_LOG_WARN);
    int fd = dial_to(h.address);
    type(fd, "slow");
    EXPECT(fd, "slept");
    type(fd, "echo x"); // answered after the report
    EXPECT(fd, "1.0.0 x");
    tg_log_open(STDERR_FILENO, TG_LOG_AUTO);
    close(pipe_[1]);
    assert_true(read(pipe_[0], text, sizeof(text) - 1) > 0);
    close(pipe_[0]);
    assert_non_null(strstr(text, "slow callback"));
    assert_non_null(strstr(text, "\"plugin\":\"probe\""));
    assert_non_null(strstr(text, "\"callback\":\"on_frame\""));
    close(fd);
}

static int slow_up(void **state)
{
    (void)state;
    host_begin(&h);
    tg_runtime_config c = config_of(&h, 1);
    c.slow_callback_ms = 40;
    host_start(&h, &c);
    must_load(&h, built("probe"), NULL);
    must_listen(&h,
                "{\"name\": \"main\", \"adapter\": \"probe\", \"bind\": \"127.0.0.1:0\"}",
                h.address);
    return 0;
}

#ifndef TG_SANITIZED // a sanitizer's own report comes instead

// In a process of its own, whose stderr is read.
static void a_crash_names_the_plugin_and_the_callback(void **state)
{
    (void)state;
    int pipe_[2], status;
    assert_int_equal(pipe2(pipe_, O_CLOEXEC), 0);
    host_begin(&h); // the folders are the parent's to remove
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(pipe_[1], STDERR_FILENO);
        host_serve(&h);
        int fd = dial_to(h.address);
        type(fd, "crash");
        pause();
        _exit(0);
    }
    close(pipe_[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(remove_folder(h.private), 0);
    assert_int_equal(remove_folder(h.folder), 1);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    char text[2000] = "";
    size_t n = 0;
    for (ssize_t got; (got = read(pipe_[0], text + n, sizeof(text) - 1 - n)) > 0;)
        n += (size_t)got;
    close(pipe_[0]);
    assert_non_null(strstr(text, "crash: this thread is worker 0"));
    assert_non_null(strstr(text, ": plugin probe 1.0.0 in on_frame\n"));
    assert_non_null(strstr(text, ": no plugin's code ran\n"));
}

#endif

static void specs_of_listeners_are_checked(void **state)
{
    (void)state;
    const struct {
        const char *spec, *why;
        int code;
    } cases[] = {
        {"{\"adapter\": \"probe\", \"bind\": \"*:0\"}", "name", TG_E_INVAL},
        {"{\"name\": \"a b\", \"adapter\": \"probe\", \"bind\": \"*:0\"}", "name",
         TG_E_INVAL},
        {"{\"name\": \"a\", \"adapter\": \"prob\", \"bind\": \"*:0\"}",
         "no plugin offers adapter 'prob'", TG_E_NOTFOUND},
        {"{\"name\": \"a\", \"adapter\": \"probe\", \"bind\": \"*:0\", \"anonimous\": "
         "true}",
         "did you mean 'anonymous'?", TG_E_INVAL},
        {"{\"name\": \"a\", \"adapter\": \"probe\", \"bind\": \"*:0\", "
         "\"limits\": {\"conections\": 1}}",
         "limits.conections: no such option; did you mean 'connections'?", TG_E_INVAL},
        {"{\"name\": \"main\", \"adapter\": \"probe\", \"bind\": \"127.0.0.1:0\"}",
         "there is a listener 'main'", TG_E_EXISTS},
        {"{\"name\": \"a\", \"adapter\": \"probe-raw\", \"bind\": \"127.0.0.1:0\", "
         "\"tls\": {\"cert\": \"c\", \"key\": \"k\"}}",
         "adapter 'probe-raw' does not speak tls", TG_E_UNSUPPORTED},
        {"{\"name\": \"a\", \"adapter\": \"probe\", \"bind\": \"127.0.0.1:0\", "
         "\"tls\": {\"cert\": \"/nonexistent/c\", \"key\": \"/nonexistent/k\"}}",
         "/nonexistent/c", TG_E_TLS},
        {"{\"name\": \"a\", \"adapter\": \"probe\", \"bind\": \"127.0.0.1:0\", "
         "\"tls\": {\"crt\": \"c\", \"key\": \"k\"}}",
         "listeners[1].tls.crt", TG_E_INVAL},
        {"{\"name\": \"a\", \"adapter\": \"probe\", \"bind\": \"somewhere\"}",
         "is no address", TG_E_INVAL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tg_error e = {0};
        int rc = tg_listeners_open(h.rt, json(&h, cases[i].spec), NULL, "listeners[1]",
                                   NULL, 0, &e);
        if (rc != cases[i].code || strstr(e.message, cases[i].why) == NULL)
            fail_msg("%zu: %d %s", i, rc, e.message);
    }
    assert_int_equal(tg_listeners_close(h.rt, "nothing"), TG_E_NOTFOUND);
    assert_int_equal(tg_listeners_close(h.rt, "main"), 0);
    assert_int_equal(tg_listeners_close(h.rt, "main"), TG_E_NOTFOUND);
}

#define T(name) cmocka_unit_test_setup_teardown(name, up, down)
#define B(name) cmocka_unit_test_setup_teardown(name, bare, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        B(bad_plugins_are_refused_with_the_reason),
        B(a_symbol_that_nobody_has_is_named),
        B(a_load_that_fails_half_way_leaves_nothing),
        B(a_start_that_fails_on_one_worker_fails_on_all),
        cmocka_unit_test(a_store_that_cannot_be_read_ends_where_it_has_started),
        T(one_plugin_is_loaded_once),
        T(a_reload_serves_new_connections_and_drains_the_old),
        T(a_reload_that_fails_leaves_the_running_version),
        T(a_fifth_version_waits_for_an_old_one),
        T(an_old_version_ends_its_waits_first),
        T(a_hundred_reloads_lose_no_connection),
        T(devices_that_stay_hold_their_version),
        T(stopping_in_the_middle_of_everything_is_clean),
        cmocka_unit_test_setup_teardown(slow_callbacks_are_reported, slow_up, down),
        T(specs_of_listeners_are_checked),
#ifndef TG_SANITIZED
        cmocka_unit_test(a_crash_names_the_plugin_and_the_callback),
#endif
    };
    return RUN(tests);
}
