// SPDX-License-Identifier: Apache-2.0
// A config is checked here as a start would check it, certificates and plugins' options (by
// their own schemas) too, but for what only a start can see: addresses that are taken, and what
// a plugin does with its options. A plugin that is not on this machine is a warning: the config
// may be for another one.
#include <stdio.h>

#include "admin/write.h"
#include "host/cli.h"
#include "host/solo.h"

static const char *name_of(const char *file)
{
    return file != NULL ? file : "the built-in config";
}

static void put_warning(tg_buf *list, const char *text)
{
    tg_buf_put(list, text, strlen(text) + 1);
}

static void warn_of_listeners(const tg_config *c, tg_buf *warnings)
{
    char text[128];
    for (size_t i = 0; i < c->listeners->list.count; i++) {
        snprintf(text, sizeof(text),
                 "listeners[%zu] lets anonymous clients in from beyond this machine",
                 i + 1);
        if (tg_config_is_open(&c->listeners->list.items[i]))
            put_warning(warnings, text);
    }
}

static int check_plugin(tg_solo *o, const tg_config_plugin *p, tg_buf *warnings,
                        tg_error *e)
{
    bool opened;
    int rc =
        tg_plugins_check(o->rt, p->name, p->options, o->config.file, p->where, &opened, e);
    if (rc == 0 || opened)
        return rc;
    put_warning(warnings, e->message);
    *e = (tg_error){0};
    return 0;
}

static int check_listeners(const tg_config *c, tg_error *e)
{
    char where[32];
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < c->listeners->list.count; i++) {
        snprintf(where, sizeof(where), "listeners[%zu]", i + 1);
        rc = tg_listeners_check_files(&c->listeners->list.items[i], c->file, where, e);
    }
    return rc;
}

static int check_plugins(tg_solo *o, tg_buf *warnings, tg_error *e)
{
    tg_config_plugin p;
    int rc = 0;
    if (tg_config_store_plugin(&o->config, &p))
        rc = check_plugin(o, &p, warnings, e);
    for (size_t i = 0; rc == 0 && tg_config_plugin_at(&o->config, i, &p); i++)
        rc = check_plugin(o, &p, warnings, e);
    return rc;
}

static void print_json(const char *file, const tg_buf *warnings, bool good,
                       const tg_error *e)
{
    tg_buf b = {0};
    tg_put_open(&b, NULL, '{');
    tg_put_bool(&b, "good", good);
    tg_put_str(&b, "file", name_of(file));
    if (!good)
        tg_put_str(&b, "error", e->message);
    tg_put_open(&b, "warnings", '[');
    for (size_t at = 0; at < warnings->len; at += strlen(warnings->at + at) + 1)
        tg_put_str(&b, NULL, warnings->at + at);
    tg_put_close(&b, ']');
    tg_put_close(&b, '}');
    printf("%.*s\n", (int)b.len, b.at);
    tg_buf_free(&b);
}

static void print_warnings(const tg_buf *warnings)
{
    for (size_t at = 0; at < warnings->len; at += strlen(warnings->at + at) + 1)
        fprintf(stderr, "warning: %s\n", warnings->at + at);
}

int tg_cmd_config_check(const tg_cli *cli)
{
    tg_solo o;
    tg_error e = {0};
    tg_buf warnings = {0};
    size_t listeners = 0;
    const char *file = cli->nargs > 0 ? cli->args[0] : cli->config;
    int rc = tg_solo_start(file, 1, &o, &e);
    if (rc == 0) {
        warn_of_listeners(&o.config, &warnings);
        listeners = o.config.listeners->list.count;
        rc = check_listeners(&o.config, &e);
        if (rc == 0)
            rc = check_plugins(&o, &warnings, &e);
        tg_solo_close(&o);
    }
    if (cli->json)
        print_json(file, &warnings, rc == 0, &e);
    else
        print_warnings(&warnings);
    tg_buf_free(&warnings);
    if (rc != 0)
        return cli->json ? TG_EXIT_FAILED : tg_cli_fail("%s", e.message);
    if (!cli->json)
        printf("%s: good, %zu listeners.\n", name_of(file), listeners);
    return TG_EXIT_OK;
}
