// SPDX-License-Identifier: Apache-2.0
// The host's life, in order: config, log, state folder, runtime, plugins, listeners, admin
// API, ready; then the control loop until a signal; then the same way back. What the config
// says wrong stops it before anything has started; a plugin that fails does not stop it.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/cli.h"
#include "host/host.h"
#include "lua/lua_host.h"

static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

void tg_host_open_log(tg_the_host *h)
{
    const tg_config_log *log = &h->config.log;
    char path[TG_PATH_LEN];
    int fd = -1;
    if (log->file.len > 0) {
        snprintf(path, sizeof(path), "%.*s", (int)log->file.len, log->file.at);
        fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
        if (fd < 0)
            tg_log(HOST, ERROR, "cannot write the log to %s: %s", path, strerror(errno));
    }
    // Other threads write to the old descriptor meanwhile: it is replaced, not closed.
    if (fd >= 0 && h->log_fd >= 0) {
        dup3(fd, h->log_fd, O_CLOEXEC);
        close(fd);
    } else if (fd >= 0) {
        h->log_fd = fd;
    }
    tg_log_open(h->log_fd >= 0 ? h->log_fd : STDERR_FILENO, (tg_log_format)log->format);
    tg_config_apply_log(&h->config);
}

static void set_paths(tg_the_host *h)
{
    const tg_config *c = &h->config;
    if (c->state_dir.len > 0)
        snprintf(h->state, sizeof(h->state), "%.*s", (int)c->state_dir.len,
                 c->state_dir.at);
    else
        tg_path_state(h->state);
    if (c->plugin_path.len > 0)
        snprintf(h->plugins, sizeof(h->plugins), "%.*s", (int)c->plugin_path.len,
                 c->plugin_path.at);
    else
        tg_path_plugins(h->plugins);
    tg_slice token = c->admin.token_file;
    if (token.len > 0)
        snprintf(h->token_file, sizeof(h->token_file), "%.*s", (int)token.len, token.at);
    else
        tg_path_join(h->token_file, h->state, "admin.token");
    tg_slice files = c->files.path;
    if (files.len > 0)
        snprintf(h->files, sizeof(h->files), "%.*s", (int)files.len, files.at);
    else
        tg_path_join(h->files, h->state, "files");
}

/// Two hosts on one folder would take each other's token and plugins.
static int lock_state(tg_the_host *h, tg_error *e)
{
    char path[TG_PATH_LEN];
    int rc = tg_path_make(h->state, e);
    if (rc != 0)
        return tg_error_prefix(e, "state_dir");
    if (!tg_path_join(path, h->state, "lock"))
        return tg_error_set(e, TG_E_INVAL, "state_dir: path is too long");
    h->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (h->lock_fd < 0)
        return tg_error_set(e, TG_E_IO, "%s: %s", path, strerror(errno));
    if (flock(h->lock_fd, LOCK_EX | LOCK_NB) != 0)
        return tg_error_set(e, TG_E_BUSY,
                            "another host runs with the state folder %s; end it, or give "
                            "this one a state_dir of its own",
                            h->state);
    return 0;
}

static uint32_t worker_count(const tg_config *c)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t n = c->workers > 0 ? (uint32_t)c->workers : (uint32_t)(cores > 0 ? cores : 1);
    return n < TG_WORKERS_MAX ? n : TG_WORKERS_MAX;
}

static int start_runtime(tg_the_host *h, tg_error *e)
{
    const tg_config *c = &h->config;
    const tg_files_config files = tg_config_files_of(c, h->files);
    tg_runtime_config rc = {
        .workers = worker_count(c),
        .mailbox_bytes = (uint64_t)c->limits.mailbox_bytes,
        .hub = tg_config_hub_limits(c),
        .users = c->users,
        .auth = c->auth,
        .store = tg_config_store_id(c),
        .plugin_path = h->plugins,
        .state_dir = h->state,
        .kv_bytes = (uint64_t)c->limits.kv_bytes,
        .slow_callback_ms = (uint32_t)c->limits.slow_callback_ms,
        .sys_readers = (uint8_t)c->sys.readers,
        .files = c->files.enabled ? &files : NULL,
    };
    tg_net_reserve((uint32_t)c->limits.descriptors);
    int code = tg_runtime_new(&rc, &h->rt, e);
    if (code == 0)
        code = tg_plugins_add_static(h->rt, &tg_lua_plugin, e);
    if (code == 0)
        code = tg_runtime_start(h->rt, e);
    return code;
}

static void add_problem(tg_the_host *h, const char *text)
{
    tg_buf_puts(&h->problems, h->problems.len > 0 ? "; " : "");
    tg_buf_puts(&h->problems, text);
}

bool tg_host_load_plugin(tg_the_host *h, const tg_config_plugin *p)
{
    tg_error e = {0};
    if (tg_plugins_load(h->rt, p->name, p->options, h->config.file, p->where, &e) == 0)
        return true;
    tg_log(HOST, ERROR, "plugin %s is left out: %s", p->name, e.message);
    add_problem(h, e.message);
    tg_buf_put(&h->left_out, p->name, strlen(p->name) + 1);
    return false;
}

bool tg_host_has_name(const tg_buf *names, const char *name)
{
    for (size_t at = 0; at < names->len; at += strlen(names->at + at) + 1)
        if (strcmp(names->at + at, name) == 0)
            return true;
    return false;
}

void tg_host_check_auth(tg_the_host *h)
{
    const char *id;
    for (size_t i = 0; (id = tg_runtime_auth_missing(h->rt, i)) != NULL; i++) {
        char text[160];
        snprintf(text, sizeof(text), "auth: no plugin offers the backend '%s'", id);
        tg_log(HOST, ERROR, "%s: whoever is not decided before it is refused", text);
        add_problem(h, text);
    }
}

/// The store comes first and must be there: a host that forgot it would acknowledge what it
/// does not keep.
static int load_plugins(tg_the_host *h, tg_error *e)
{
    tg_config_plugin p;
    if (tg_config_store_plugin(&h->config, &p)) {
        int rc = tg_plugins_load(h->rt, p.name, p.options, h->config.file, p.where, e);
        if (rc < 0)
            return rc;
    }
    for (size_t i = 0; tg_config_plugin_at(&h->config, i, &p); i++)
        tg_host_load_plugin(h, &p);
    tg_host_check_auth(h);
    const char *missing = tg_runtime_store_missing(h->rt);
    if (missing == NULL)
        return 0;
    if (strcmp(missing, TG_STORE_ANY) == 0)
        return tg_error_set(e, TG_E_NOTFOUND, "store: its plugin offers no store");
    return tg_error_set(e, TG_E_NOTFOUND,
                        "store: no plugin that was loaded offers the store '%s'%s%.*s",
                        missing, h->problems.len > 0 ? "; " : "", (int)h->problems.len,
                        h->problems.at != NULL ? h->problems.at : "");
}

void tg_host_tell_problems(tg_the_host *h)
{
    if (h->admin != NULL)
        tg_admin_set_problems(h->admin, tg_buf_slice(&h->problems));
}

int tg_host_open_listener(tg_the_host *h, const tg_value *spec, size_t i, tg_error *e)
{
    char where[32];
    snprintf(where, sizeof(where), "listeners[%zu]", i + 1);
    int rc = tg_listeners_open(h->rt, spec, h->config.file, where, NULL, 0, e);
    if (rc == TG_E_NOTFOUND && h->problems.len > 0) {
        tg_log(HOST, ERROR, "a listener is left out: %s", e->message);
        add_problem(h, e->message);
        return 0;
    }
    return rc;
}

static int open_listeners(tg_the_host *h, tg_error *e)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < h->config.listeners->list.count; i++)
        rc = tg_host_open_listener(h, &h->config.listeners->list.items[i], i, e);
    return rc;
}

static int start_admin(tg_the_host *h, tg_error *e)
{
    const tg_config_admin *a = &h->config.admin;
    char path[TG_PATH_LEN];
    if (!a->enabled)
        return 0;
    tg_admin_config config = {
        .bind = a->bind,
        .token_file = h->token_file,
        .hosts = a->hosts,
        .body_max = a->body_max,
        .connections = a->connections,
        .stream_buffer = a->stream_buffer,
        .version = TG_VERSION,
        .config_file = h->config_file,
        .state_dir = h->state,
    };
    int rc = tg_admin_start(h->rt, &config, &h->admin, e);
    if (rc != 0)
        return rc;
    tg_host_tell_problems(h);
    if (tg_path_join(path, h->state, "admin.address"))
        rc = tg_path_write(path, tg_str(tg_admin_address(h->admin)), 0600, e);
    return rc;
}

static void on_handle_closed(uv_handle_t *handle)
{
    tg_the_host *h = handle->data;
    if (--h->handles == 0)
        tg_control_stop(tg_runtime_workers(h->rt));
}

/// The handles go first, and the default action comes back with them: a second signal ends the
/// process at once, whatever hangs.
static void on_term(uv_signal_t *signal, int number)
{
    tg_the_host *h = signal->data;
    if (uv_is_closing((uv_handle_t *)&h->term))
        return;
    uv_close((uv_handle_t *)&h->term, on_handle_closed);
    uv_close((uv_handle_t *)&h->interrupt, on_handle_closed);
    uv_close((uv_handle_t *)&h->hangup, on_handle_closed);
    tg_log(HOST, INFO, "ending: %s",
           number == SIGINT ? "interrupted" : "told to terminate");
    tg_host_notify("STOPPING=1");
}

static void on_hangup(uv_signal_t *signal, int number)
{
    (void)number;
    tg_host_rehash(signal->data);
}

static void watch(tg_the_host *h, uv_signal_t *signal, int number, uv_signal_cb fn)
{
    uv_signal_init(tg_control_uv(tg_runtime_workers(h->rt)), signal);
    signal->data = h;
    h->handles++;
    uv_signal_start(signal, fn, number);
}

static int start(tg_the_host *h, tg_error *e)
{
    int rc = lock_state(h, e);
    if (rc == 0)
        rc = start_runtime(h, e);
    if (rc != 0)
        return rc;
    rc = load_plugins(h, e);
    if (rc == 0)
        rc = open_listeners(h, e);
    if (rc == 0)
        rc = start_admin(h, e);
    if (rc == 0 && h->config.sys.interval_ms > 0)
        rc = tg_sys_start(h->rt, (uint32_t)h->config.sys.interval_ms, TG_VERSION, &h->sys,
                          e);
    return rc;
}

static void end(tg_the_host *h)
{
    char path[TG_PATH_LEN];
    if (h->admin != NULL) {
        tg_admin_stop(h->admin);
        if (tg_path_join(path, h->state, "admin.address"))
            unlink(path);
    }
    tg_sys_stop(h->sys);
    if (h->rt != NULL)
        tg_runtime_stop(h->rt, (uint32_t)h->config.shutdown_ms);
    if (h->rt != NULL)
        tg_runtime_free(h->rt);
    tg_admin_free(h->admin); // last: mails that are left may be of its requests
    tg_log(HOST, INFO, "ended");
    if (h->lock_fd >= 0)
        close(h->lock_fd);
    tg_buf_free(&h->problems);
    tg_buf_free(&h->left_out);
    tg_buf_free(&h->unchanged);
    tg_config_free(&h->config);
}

int tg_cmd_run(const tg_cli *cli)
{
    tg_the_host h = {.config_file = cli->config, .lock_fd = -1, .log_fd = -1};
    tg_error e = {0};
    if (tg_config_read(cli->config, &h.config, &e) != 0)
        return tg_cli_fail("%s", e.message);
    signal(SIGPIPE, SIG_IGN);
    umask(077);
    raise_descriptor_limit();
    set_paths(&h);
    tg_host_open_log(&h);
    int rc = start(&h, &e);
    if (rc == 0) {
        watch(&h, &h.term, SIGTERM, on_term);
        watch(&h, &h.interrupt, SIGINT, on_term);
        watch(&h, &h.hangup, SIGHUP, on_hangup);
        tg_host_greet(&h);
        tg_control_loop(tg_runtime_workers(h.rt));
    } else {
        tg_cli_fail("%s", e.message);
    }
    end(&h);
    return rc == 0 ? TG_EXIT_OK : TG_EXIT_FAILED;
}
