// SPDX-License-Identifier: Apache-2.0
// A config is checked here as a start would check it, certificates too, but for what only a
// start can see: addresses that are taken, and plugins that do not load or do not take their
// options.
#include <stdio.h>

#include "admin/write.h"
#include "host/cli.h"
#include "host/config.h"

static const char *name_of(const char *file)
{
    return file != NULL ? file : "the built-in config";
}

/// @return false: listener `i` needs none.
static bool warning(const tg_config *config, size_t i, char text[128])
{
    snprintf(text, 128, "listeners[%zu] lets anonymous clients in from beyond this machine",
             i + 1);
    return tg_config_is_open(&config->listeners->list.items[i]);
}

static void print_json(const char *file, const tg_config *config, const tg_error *e)
{
    char text[128];
    tg_buf b = {0};
    tg_put_open(&b, NULL, '{');
    tg_put_bool(&b, "good", config != NULL);
    tg_put_str(&b, "file", name_of(file));
    if (config == NULL)
        tg_put_str(&b, "error", e->message);
    tg_put_open(&b, "warnings", '[');
    for (size_t i = 0; config != NULL && i < config->listeners->list.count; i++)
        if (warning(config, i, text))
            tg_put_str(&b, NULL, text);
    tg_put_close(&b, ']');
    tg_put_close(&b, '}');
    printf("%.*s\n", (int)b.len, b.at);
    tg_buf_free(&b);
}

static void print_text(const char *file, const tg_config *config)
{
    char text[128];
    size_t n = config->listeners->list.count;
    for (size_t i = 0; i < n; i++)
        if (warning(config, i, text))
            fprintf(stderr, "warning: %s\n", text);
    printf("%s: good, %zu listeners.\n", name_of(file), n);
}

static int read_all(const char *file, tg_config *config, tg_error *e)
{
    char where[32];
    int rc = tg_config_read(file, config, e);
    if (rc != 0)
        return rc;
    for (size_t i = 0; rc == 0 && i < config->listeners->list.count; i++) {
        snprintf(where, sizeof(where), "listeners[%zu]", i + 1);
        rc = tg_listeners_check_files(&config->listeners->list.items[i], file, where, e);
    }
    if (rc != 0)
        tg_config_free(config);
    return rc;
}

int tg_cmd_config_check(const tg_cli *cli)
{
    tg_config config;
    tg_error e = {0};
    const char *file = cli->nargs > 0 ? cli->args[0] : cli->config;
    int rc = read_all(file, &config, &e);
    if (cli->json)
        print_json(file, rc == 0 ? &config : NULL, &e);
    if (rc != 0)
        return cli->json ? TG_EXIT_FAILED : tg_cli_fail("%s", e.message);
    if (!cli->json)
        print_text(file, &config);
    tg_config_free(&config);
    return TG_EXIT_OK;
}
