// SPDX-License-Identifier: Apache-2.0
// Folders are made for their owner alone, and files that others read while we write are moved
// into place: a reader sees the old one or the new one, never half of it.
#include "host/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *env(const char *name)
{
    const char *v = getenv(name);
    return v != NULL && *v != '\0' ? v : NULL;
}

void tg_path_state(char out[TG_PATH_LEN])
{
    if (env("TIDEGATE_STATE") != NULL)
        snprintf(out, TG_PATH_LEN, "%s", env("TIDEGATE_STATE"));
    else if (env("XDG_STATE_HOME") != NULL)
        snprintf(out, TG_PATH_LEN, "%s/tidegate", env("XDG_STATE_HOME"));
    else if (env("HOME") != NULL)
        snprintf(out, TG_PATH_LEN, "%s/.local/state/tidegate", env("HOME"));
    else
        snprintf(out, TG_PATH_LEN, "/var/lib/tidegate");
}

void tg_path_plugins(char out[TG_PATH_LEN])
{
    char exe[TG_PATH_LEN / 4];
    if (env("TIDEGATE_PLUGINS") != NULL) {
        snprintf(out, TG_PATH_LEN, "%s", env("TIDEGATE_PLUGINS"));
        return;
    }
    ssize_t len = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    exe[len > 0 ? len : 0] = '\0';
    char *slash = strrchr(exe, '/');
    if (slash != NULL)
        *slash = '\0';
    snprintf(out, TG_PATH_LEN, "%s/plugins:%s/../lib/tidegate/plugins", exe, exe);
}

int tg_path_make(const char *path, tg_error *e)
{
    char part[TG_PATH_LEN];
    struct stat st;
    if (snprintf(part, sizeof(part), "%s/", path) >= (int)sizeof(part))
        return tg_error_set(e, TG_E_INVAL, "%s: path is too long", path);
    for (char *at = strchr(part + 1, '/'); at != NULL; at = strchr(at + 1, '/')) {
        *at = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST)
            return tg_error_set(e, TG_E_IO, "cannot make %s: %s", part, strerror(errno));
        *at = '/';
    }
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
        return tg_error_set(e, TG_E_IO, "%s is no folder", path);
    if (access(path, W_OK | X_OK) != 0)
        return tg_error_set(e, TG_E_IO, "cannot write into %s: %s", path, strerror(errno));
    return 0;
}

bool tg_path_join(char out[TG_PATH_LEN], const char *folder, const char *name)
{
    return snprintf(out, TG_PATH_LEN, "%s/%s", folder, name) < TG_PATH_LEN;
}

static bool write_all(int fd, tg_slice text)
{
    while (text.len > 0) {
        ssize_t n = write(fd, text.at, text.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        text = (tg_slice){text.at + n, text.len - (size_t)n};
    }
    return true;
}

int tg_path_write(const char *path, tg_slice text, unsigned mode, tg_error *e)
{
    char temporary[TG_PATH_LEN];
    if (snprintf(temporary, sizeof(temporary), "%s.%ld", path, (long)getpid()) >=
        (int)sizeof(temporary))
        return tg_error_set(e, TG_E_INVAL, "%s: path is too long", path);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return tg_error_set(e, TG_E_IO, "%s: %s", temporary, strerror(errno));
    bool good = write_all(fd, text);
    good = close(fd) == 0 && good;
    if (good && rename(temporary, path) == 0)
        return 0;
    int error = errno;
    unlink(temporary);
    return tg_error_set(e, TG_E_IO, "%s: %s", path, strerror(error));
}

int64_t tg_path_read(const char *path, char *into, size_t max)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = read(fd, into, max);
    close(fd);
    return n;
}
