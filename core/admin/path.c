// SPDX-License-Identifier: Apache-2.0
// A path is taken apart before it is decoded: a slash inside a client id comes as %2F and must
// not part it.
#include "admin/request.h"

static size_t segment(const char *at)
{
    return strcspn(at, "/");
}

bool tg_path_fits(const char *pattern, const char *path)
{
    while (*pattern == '/' && *path == '/') {
        size_t want = segment(++pattern), have = segment(++path);
        bool any = *pattern == '{' && have > 0;
        if (!any && (want != have || memcmp(pattern, path, want) != 0))
            return false;
        pattern += want;
        path += have;
    }
    return *pattern == '\0' && *path == '\0';
}

void tg_path_take(const char *pattern, char *path, tg_slice params[TG_REQUEST_PARAMS])
{
    for (size_t n = 0; *pattern == '/';) {
        size_t want = segment(++pattern), have = segment(++path);
        char *value = path;
        bool parameter = *pattern == '{';
        pattern += want;
        path += have;
        if (!parameter || n == TG_REQUEST_PARAMS)
            continue;
        *path = '\0'; // also for who needs the value with an end; `path` only steps over it
        params[n++] = (tg_slice){value, MHD_http_unescape(value)};
    }
}
