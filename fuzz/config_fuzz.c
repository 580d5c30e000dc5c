// SPDX-License-Identifier: Apache-2.0
// Any text as the host's config: it is read and checked within its budget, and what passes can
// be walked as a start does.
// covers: core/host/config.c core/lua/config.c core/lua/lines.c core/base/options.c
#include <assert.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "planted.h"

// The host room is the program's own and no archive of a fuzz target.
#include "host/config.c"
#include "host/defaults.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(tg_config *c)
{
    tg_config_plugin p;
    for (size_t i = 0; tg_config_plugin_at(c, i, &p); i++)
        assert(p.name != NULL && strlen(p.where) > 0);
    for (size_t i = 0; i < c->listeners->list.count; i++)
        PLANTED(tg_config_is_open(&c->listeners->list.items[i]));
    assert(tg_config_hub_limits(c).inflight > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    tg_config c;
    tg_error e = {0};
    int fd = memfd_create("config", 0);
    assert(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (tg_config_read(path, &c, &e) == 0) {
        walk(&c);
        tg_config_free(&c);
    } else {
        assert(e.message[0] != '\0');
    }
    close(fd);
    return 0;
}
