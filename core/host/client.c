// SPDX-License-Identifier: Apache-2.0
// The CLI can do what the API can and nothing else, so that what works in a shell works in a
// program, too.
#include "host/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "codec/json_read.h"
#include "host/config.h"
#include "host/paths.h"

#define DEFAULT_HOST "127.0.0.1:18083"
#define ANSWER_MAX ((size_t)256 << 20)

struct tg_client {
    const tg_cli *cli;
    CURL *curl;
    char host[256];
    char token_file[TG_PATH_LEN];
    char authorization[256];
    int token_errno; ///< why the token could not be read; 0: it was
    char error[CURL_ERROR_SIZE];
};

static const char *env(const char *name)
{
    const char *v = getenv(name);
    return v != NULL && *v != '\0' ? v : NULL;
}

static void copy(char *to, size_t size, tg_slice from)
{
    if (from.len > 0)
        snprintf(to, size, "%.*s", (int)from.len, from.at);
}

/// What a config file says; its problems are the business of `config check`.
static bool use_config(tg_client *c, const char *file, char *state)
{
    tg_config config;
    tg_error e = {0};
    if (tg_config_read(file, &config, &e) != 0) {
        tg_cli_fail("%s", e.message);
        return false;
    }
    copy(c->host, sizeof(c->host), config.admin.bind);
    copy(state, TG_PATH_LEN, config.state_dir);
    copy(c->token_file, sizeof(c->token_file), config.admin.token_file);
    tg_config_free(&config);
    return true;
}

/// A running host leaves its address beside its token.
static void use_state(tg_client *c, const char *state)
{
    char path[TG_PATH_LEN], text[256];
    int64_t n = tg_path_join(path, state, "admin.address")
                    ? tg_path_read(path, text, sizeof(text) - 1)
                    : -1;
    if (n > 0 && c->host[0] == '\0') {
        text[n] = '\0';
        text[strcspn(text, "\n")] = '\0';
        copy(c->host, sizeof(c->host), tg_str(text));
    }
    if (c->token_file[0] == '\0')
        tg_path_join(c->token_file, state, "admin.token");
}

static bool has_token(const char *state)
{
    char path[TG_PATH_LEN];
    return tg_path_join(path, state, "admin.token") && access(path, F_OK) == 0;
}

static void use_words(tg_client *c, const char *host, const char *token_file)
{
    copy(c->host, sizeof(c->host), tg_str(host));
    copy(c->token_file, sizeof(c->token_file), tg_str(token_file));
}

/// What is said closest to the command wins: its options, then the config that it names, then
/// the environment, then what a running host left behind.
static bool find_host(tg_client *c)
{
    char state[TG_PATH_LEN] = "";
    const tg_cli *cli = c->cli;
    if (cli->config == NULL)
        use_words(c, env("TIDEGATE_HOST"), env("TIDEGATE_TOKEN_FILE"));
    else if (!use_config(c, cli->config, state))
        return false;
    use_words(c, cli->host, cli->token_file);
    if (state[0] == '\0')
        tg_path_state(state);
    if (!has_token(state) && has_token("/var/lib/tidegate"))
        strcpy(state, "/var/lib/tidegate");
    use_state(c, state);
    if (c->host[0] == '\0')
        copy(c->host, sizeof(c->host), TG_LIT(DEFAULT_HOST));
    return true;
}

/// A missing token is no error yet: the host may be out of reach anyway.
static void read_token(tg_client *c)
{
    char text[128];
    errno = 0;
    int64_t n = tg_path_read(c->token_file, text, sizeof(text) - 1);
    c->token_errno = n < 0 ? errno : 0;
    if (n <= 0)
        return;
    text[n] = '\0';
    text[strcspn(text, " \t\r\n")] = '\0';
    snprintf(c->authorization, sizeof(c->authorization), "Authorization: Bearer %s", text);
}

int tg_client_open(const tg_cli *cli, tg_client **out)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    tg_client *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return tg_cli_fail("out of memory");
    c->cli = cli;
    c->curl = curl_easy_init();
    bool found = find_host(c);
    if (c->curl == NULL || !found) {
        tg_client_free(c);
        return found ? tg_cli_fail("out of memory") : TG_EXIT_FAILED;
    }
    read_token(c);
    *out = c;
    return 0;
}

void tg_client_free(tg_client *c)
{
    if (c == NULL)
        return;
    curl_easy_cleanup(c->curl);
    free(c);
    curl_global_cleanup();
}

const char *tg_client_address(const tg_client *c)
{
    return c->host;
}

void tg_client_escape(tg_client *c, tg_buf *path, tg_slice text)
{
    char *escaped = text.len > 0 ? curl_easy_escape(c->curl, text.at, (int)text.len) : NULL;
    if (escaped != NULL)
        tg_buf_puts(path, escaped);
    curl_free(escaped);
}

static size_t take_body(char *data, size_t size, size_t n, void *ctx)
{
    tg_answer *a = ctx;
    if (a->body.len + size * n > ANSWER_MAX)
        return 0;
    tg_buf_put(&a->body, data, size * n);
    return a->body.failed ? 0 : size * n;
}

static void set_url(tg_client *c, const char *path)
{
    tg_buf url = {0};
    tg_buf_printf(&url, "http://%s/api/v1%s", c->host, path);
    tg_buf_putc(&url, '\0');
    curl_easy_reset(c->curl);
    curl_easy_setopt(c->curl, CURLOPT_URL, url.at);
    tg_buf_free(&url);
    curl_easy_setopt(c->curl, CURLOPT_ERRORBUFFER, c->error);
    curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c->curl, CURLOPT_NOPROXY, "*"); // a proxy knows no loopback of ours
    curl_easy_setopt(c->curl, CURLOPT_PROTOCOLS_STR, "http");
    curl_easy_setopt(c->curl, CURLOPT_CONNECTTIMEOUT, 5L);
}

static struct curl_slist *headers(const tg_client *c, const tg_buf *body)
{
    struct curl_slist *list = NULL;
    if (c->authorization[0] != '\0')
        list = curl_slist_append(list, c->authorization);
    if (body != NULL)
        list = curl_slist_append(list, "Content-Type: application/json");
    return curl_slist_append(list, "Expect:"); // no round trip before the body
}

static int unreachable(const tg_client *c, bool quiet)
{
    if (!quiet)
        tg_cli_fail("cannot reach the host at %s: %s\nIs `tidegate run` up? Another one is "
                    "named with --host and --token-file.",
                    c->host, c->error);
    return TG_EXIT_UNREACHABLE;
}

static bool is_json(CURL *curl)
{
    char *type = NULL;
    curl_easy_getinfo(curl, CURLINFO_CONTENT_TYPE, &type);
    return type != NULL && strstr(type, "json") != NULL;
}

/// An answer that is an error, shown.
static int show_problem(const tg_client *c, const tg_answer *a)
{
    if (c->cli->json && a->json.kind == TG_MAP)
        fwrite(a->body.at, 1, a->body.len, stdout);
    tg_slice detail = tg_value_str(&a->json, "detail", TG_LIT("no JSON in the answer"));
    tg_slice code = tg_value_str(&a->json, "code", TG_LIT("?"));
    tg_cli_fail("%.*s (%ld %.*s)", (int)detail.len, detail.at, a->status, (int)code.len,
                code.at);
    if (a->status == 401 && c->token_errno != 0)
        fprintf(stderr, "No token could be read from %s: %s.\n", c->token_file,
                strerror(c->token_errno));
    else if (a->status == 401)
        fprintf(stderr, "The token in %s is not that of the host at %s.\n", c->token_file,
                c->host);
    if (a->status == 401)
        fputs("Another file is named with --token-file.\n", stderr);
    return TG_EXIT_FAILED;
}

static int perform(tg_client *c, const char *method, const char *path, const tg_buf *body,
                   tg_answer *out, bool quiet)
{
    *out = (tg_answer){0};
    set_url(c, path);
    struct curl_slist *list = headers(c, body);
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, out);
    if (body != NULL) {
        curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, body->at);
        curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->len);
    }
    CURLcode rc = curl_easy_perform(c->curl);
    curl_slist_free_all(list);
    if (rc != CURLE_OK)
        return unreachable(c, quiet);
    curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &out->status);
    tg_error e = {0};
    if (is_json(c->curl) &&
        tg_json_read(tg_buf_slice(&out->body), &out->arena, &out->json, &e) != 0)
        return tg_cli_fail("the host's answer is no JSON: %s", e.message);
    return out->status < 400 ? 0 : show_problem(c, out);
}

int tg_client_call(tg_client *c, const char *method, const char *path, const tg_buf *body,
                   tg_answer *out)
{
    return perform(c, method, path, body, out, false);
}

int tg_client_try(tg_client *c, const char *method, const char *path, const tg_buf *body,
                  tg_answer *out)
{
    return perform(c, method, path, body, out, true);
}

void tg_answer_free(tg_answer *a)
{
    tg_buf_free(&a->body);
    tg_arena_free(&a->arena);
    *a = (tg_answer){0};
}

typedef struct reader {
    tg_client *client;
    tg_answer
        answer; ///< `body` holds the line that is not whole yet, or an error's document
    bool (*line)(void *ctx, const tg_value *json, tg_slice text);
    void *ctx;
    bool stopped;
} reader;

static bool take_line(reader *r, tg_slice text)
{
    tg_arena arena = {0};
    tg_value json = {0};
    bool go_on = true;
    if (text.len > 0 && tg_json_read(text, &arena, &json, NULL) == 0)
        go_on = r->line(r->ctx, &json, text);
    tg_arena_free(&arena);
    return go_on;
}

static size_t take_lines(char *data, size_t size, size_t n, void *ctx)
{
    reader *r = ctx;
    tg_buf *body = &r->answer.body;
    long status = 0;
    if (take_body(data, size, n, &r->answer) == 0 && size * n > 0)
        return 0;
    curl_easy_getinfo(r->client->curl, CURLINFO_RESPONSE_CODE, &status);
    char *end;
    while (status == 200 && !r->stopped &&
           (end = memchr(body->at, '\n', body->len)) != NULL) {
        size_t len = (size_t)(end - body->at);
        r->stopped = !take_line(r, (tg_slice){body->at, len});
        tg_buf_drop(body, len + 1);
    }
    return r->stopped ? 0 : size * n;
}

int tg_client_stream(tg_client *c, const char *path,
                     bool (*line)(void *ctx, const tg_value *json, tg_slice text),
                     void *ctx)
{
    reader r = {.client = c, .line = line, .ctx = ctx};
    set_url(c, path);
    struct curl_slist *list = headers(c, NULL);
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, take_lines);
    curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, &r);
    CURLcode rc = curl_easy_perform(c->curl);
    curl_slist_free_all(list);
    curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &r.answer.status);
    int code = 0;
    if (rc != CURLE_OK && !r.stopped)
        code = unreachable(c, false);
    else if (r.answer.status >= 400) {
        tg_json_read(tg_buf_slice(&r.answer.body), &r.answer.arena, &r.answer.json, NULL);
        code = show_problem(c, &r.answer);
    }
    tg_answer_free(&r.answer);
    return code;
}
