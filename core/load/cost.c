// SPDX-License-Identifier: Apache-2.0
// What the kernel knows about a server on this machine.
#include "load/machine.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

static uint64_t thread_ns(int pid, const char *thread)
{
    char path[64];
    uint64_t ns = 0;
    snprintf(path, sizeof(path), "/proc/%d/task/%.16s/schedstat", pid, thread);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return 0;
    if (fscanf(f, "%" SCNu64, &ns) != 1)
        ns = 0;
    fclose(f);
    return ns;
}

uint64_t tg_process_cpu_ns(int pid)
{
    char path[64];
    uint64_t sum = 0;
    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    DIR *dir = pid > 0 ? opendir(path) : NULL;
    if (dir == NULL)
        return 0;
    for (struct dirent *d;
         (d = readdir(dir)) != NULL;) // schedstat is exact, stat counts ticks
        sum += d->d_name[0] == '.' ? 0 : thread_ns(pid, d->d_name);
    closedir(dir);
    return sum;
}

uint64_t tg_process_rss(int pid)
{
    char path[64];
    uint64_t pages = 0;
    snprintf(path, sizeof(path), "/proc/%d/statm", pid);
    FILE *f = pid > 0 ? fopen(path, "re") : NULL;
    if (f == NULL)
        return 0;
    if (fscanf(f, "%*u %" SCNu64, &pages) != 1)
        pages = 0;
    fclose(f);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}
