// SPDX-License-Identifier: Apache-2.0
// The first adapter of an integrator is a copy of one that works: etc/templates/adapter, which
// the binary carries, so that there is nothing to find at run time. {{name}} and {{folder}}
// are replaced.
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/embed.h"
#include "host/cli.h"
#include "host/paths.h"

TG_EMBED(tg_template_init, "etc/templates/adapter/init.lua");
TG_EMBED(tg_template_vectors, "etc/templates/adapter/vectors.jsonl");
TG_EMBED(tg_template_readme, "etc/templates/adapter/README.md");

static const struct {
    const char *name, *text;
} FILES[] = {
    {"init.lua", tg_template_init},
    {"vectors.jsonl", tg_template_vectors},
    {"README.md", tg_template_readme},
};

static bool valid_name(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t len = strlen(name);
    return len > 0 && len < 64 && strspn(name, allowed) == len && name[0] >= 'a';
}

static bool starts_with(const char *text, const char *word)
{
    return strncmp(text, word, strlen(word)) == 0;
}

static void fill(tg_buf *b, const char *text, const char *name, const char *folder)
{
    while (*text != '\0') {
        if (starts_with(text, "{{name}}")) {
            tg_buf_puts(b, name);
            text += strlen("{{name}}");
        } else if (starts_with(text, "{{folder}}")) {
            tg_buf_puts(b, folder);
            text += strlen("{{folder}}");
        } else {
            tg_buf_putc(b, *text++);
        }
    }
}

static int write_file(const char *folder, size_t i, const char *name, tg_error *e)
{
    char path[TG_PATH_LEN];
    tg_buf b = {0};
    if (!tg_path_join(path, folder, FILES[i].name))
        return tg_error_set(e, TG_E_INVAL, "%s: path is too long", folder);
    fill(&b, FILES[i].text, name, folder);
    int rc = b.failed ? tg_error_set(e, TG_E_NOMEM, "out of memory")
                      : tg_path_write(path, tg_buf_slice(&b), 0644, e);
    tg_buf_free(&b);
    return rc;
}

int tg_cmd_new_adapter(const tg_cli *cli)
{
    const char *name = cli->args[0];
    const char *folder = cli->nargs > 1 ? cli->args[1] : name;
    tg_error e = {0};
    if (!valid_name(name)) {
        tg_cli_fail(
            "'%s': a name has small letters, digits, '-' and '_', and begins with a "
            "letter",
            name);
        return TG_EXIT_USAGE;
    }
    if (mkdir(folder, 0755) != 0)
        return tg_cli_fail("cannot make %s: %s", folder, strerror(errno));
    for (size_t i = 0; i < sizeof(FILES) / sizeof(FILES[0]); i++)
        if (write_file(folder, i, name, &e) != 0)
            return tg_cli_fail("%s", e.message);
    printf("%s is there. Next:\n"
           "  %s test %s\n"
           "  edit %s/init.lua\n",
           folder, program_invocation_name, folder, folder);
    return TG_EXIT_OK;
}
