// SPDX-License-Identifier: Apache-2.0
// The token is written under a private name and linked into place: a reader sees a whole token
// or none, and of two hosts that start at once on one folder the second takes the first's.
#include "admin/token.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOKEN_MIN 32 ///< characters: a token that somebody chose must not be short

const char *tg_role_name(tg_role role)
{
    static const char *const names[] = {"none", "viewer", "operator", "admin"};
    return names[role];
}

static int make(char out[TG_TOKEN_SIZE + 1], tg_error *e)
{
    unsigned char bytes[TG_TOKEN_SIZE / 2];
    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        return tg_error_set(e, TG_E_IO, "no random bytes: %s", strerror(errno));
    for (size_t i = 0; i < sizeof(bytes); i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    return 0;
}

static bool check_words(char *text, ssize_t len)
{
    while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL)
        len--;
    text[len] = '\0';
    return len >= TOKEN_MIN && strcspn(text, " \t\r\n") == (size_t)len;
}

static int read_fd(int fd, const char *path, char out[TG_TOKEN_SIZE + 1], tg_error *e)
{
    struct stat st;
    char text[TG_TOKEN_SIZE + 3];
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return tg_error_set(e, TG_E_IO, "%s: no plain file", path);
    if ((st.st_mode & 077) != 0)
        return tg_error_set(e, TG_E_DENIED,
                            "%s: others can read the token (mode %03o); chmod 600 it", path,
                            (unsigned)(st.st_mode & 0777));
    ssize_t len = read(fd, text, sizeof(text) - 1);
    if (len < 0)
        return tg_error_set(e, TG_E_IO, "%s: %s", path, strerror(errno));
    text[len] = '\0';
    if (!check_words(text, len) || strlen(text) > TG_TOKEN_SIZE)
        return tg_error_set(e, TG_E_MALFORMED,
                            "%s: a token is one word of %d to %d characters; remove the "
                            "file, and the host makes a new one",
                            path, TOKEN_MIN, TG_TOKEN_SIZE);
    memcpy(out, text, strlen(text) + 1);
    return 0;
}

static int read_file(const char *path, char out[TG_TOKEN_SIZE + 1], tg_error *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return tg_error_set(e, errno == ENOENT ? TG_E_NOTFOUND : TG_E_IO, "%s: %s", path,
                            strerror(errno));
    int rc = read_fd(fd, path, out, e);
    close(fd);
    return rc;
}

static int write_fd(int fd, const char *token)
{
    bool good = dprintf(fd, "%s\n", token) == TG_TOKEN_SIZE + 1 && fsync(fd) == 0;
    return close(fd) == 0 && good ? 0 : -1;
}

static int write_file(const char *path, const char *token, tg_error *e)
{
    char temporary[4096];
    if (snprintf(temporary, sizeof(temporary), "%s.%ld", path, (long)getpid()) >=
        (int)sizeof(temporary))
        return tg_error_set(e, TG_E_INVAL, "%s: path is too long", path);
    unlink(temporary);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return tg_error_set(e, TG_E_IO, "admin.token_file: cannot make %s: %s", path,
                            strerror(errno));
    int rc = write_fd(fd, token);
    if (rc == 0)
        rc = link(temporary, path);
    int error = errno;
    unlink(temporary);
    if (rc == 0)
        return 0;
    return tg_error_set(e, error == EEXIST ? TG_E_EXISTS : TG_E_IO, "%s: %s", path,
                        strerror(error));
}

int tg_token_open(const char *path, char out[TG_TOKEN_SIZE + 1], tg_error *e)
{
    int rc = read_file(path, out, e);
    if (rc != TG_E_NOTFOUND)
        return rc;
    char token[TG_TOKEN_SIZE + 1];
    rc = make(token, e);
    if (rc == 0)
        rc = write_file(path, token, e);
    if (rc == TG_E_EXISTS)
        return read_file(path, out, e);
    if (rc == 0)
        memcpy(out, token, sizeof(token));
    return rc;
}

bool tg_token_eq(tg_slice a, tg_slice b)
{
    unsigned char differ = a.len != b.len;
    for (size_t i = 0; i < a.len && b.len > 0; i++)
        differ |= (unsigned char)(a.at[i] ^ b.at[i % b.len]);
    return differ == 0;
}
