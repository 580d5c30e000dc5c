// SPDX-License-Identifier: Apache-2.0
#include "admin/token.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../support/check.h"

typedef struct place {
    char folder[64], path[80];
} place;

static int make_place(void **state)
{
    place *p = calloc(1, sizeof(*p));
    strcpy(p->folder, "/tmp/tidegate-token-XXXXXX");
    if (mkdtemp(p->folder) == NULL)
        return -1;
    snprintf(p->path, sizeof(p->path), "%s/admin.token", p->folder);
    *state = p;
    return 0;
}

static int remove_place(void **state)
{
    place *p = *state;
    unlink(p->path);
    int rc = rmdir(p->folder); // fails when anything was left behind
    free(p);
    return rc;
}

static void write_token(const place *p, const char *text, mode_t mode)
{
    int fd = open(p->path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void the_first_start_makes_a_token_for_its_owner_alone(void **state)
{
    place *p = *state;
    char first[TG_TOKEN_SIZE + 1], again[TG_TOKEN_SIZE + 1];
    struct stat st;
    assert_int_equal(tg_token_open(p->path, first, NULL), 0);
    assert_int_equal(strlen(first), TG_TOKEN_SIZE);
    assert_int_equal(stat(p->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(tg_token_open(p->path, again, NULL), 0);
    assert_string_equal(first, again);
}

static void a_token_that_others_can_read_is_refused(void **state)
{
    place *p = *state;
    char token[TG_TOKEN_SIZE + 1];
    tg_error e = {0};
    write_token(p, "0123456789abcdef0123456789abcdef\n", 0640);
    assert_int_equal(tg_token_open(p->path, token, &e), TG_E_DENIED);
    assert_non_null(strstr(e.message, "chmod 600"));
}

static void a_token_is_one_long_word(void **state)
{
    place *p = *state;
    char token[TG_TOKEN_SIZE + 1];
    const char *const wrong[] = {"", "short\n", "0123456789abcdef 0123456789abcdef\n"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        write_token(p, wrong[i], 0600);
        assert_int_equal(tg_token_open(p->path, token, NULL), TG_E_MALFORMED);
    }
    write_token(p, "0123456789abcdef0123456789abcdef\r\n", 0600);
    assert_int_equal(tg_token_open(p->path, token, NULL), 0);
    assert_string_equal(token, "0123456789abcdef0123456789abcdef");
}

static void tokens_are_equal_byte_by_byte_and_in_length(void **state)
{
    (void)state;
    assert_true(tg_token_eq(TG_LIT("abc"), TG_LIT("abc")));
    assert_false(tg_token_eq(TG_LIT("abc"), TG_LIT("abd")));
    assert_false(tg_token_eq(TG_LIT("abcabc"), TG_LIT("abc")));
    assert_false(tg_token_eq(TG_LIT("ab"), TG_LIT("abc")));
    assert_false(tg_token_eq(TG_LIT(""), TG_LIT("abc")));
    assert_false(tg_token_eq(TG_LIT("abc"), TG_LIT("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_first_start_makes_a_token_for_its_owner_alone,
                                        make_place, remove_place),
        cmocka_unit_test_setup_teardown(a_token_that_others_can_read_is_refused, make_place,
                                        remove_place),
        cmocka_unit_test_setup_teardown(a_token_is_one_long_word, make_place, remove_place),
        cmocka_unit_test(tokens_are_equal_byte_by_byte_and_in_length),
    };
    return RUN(tests);
}
