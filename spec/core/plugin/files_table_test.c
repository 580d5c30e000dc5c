// SPDX-License-Identifier: Apache-2.0
// Files that wait to be written are bounded before a byte of them is copied.
#include "host.h"

static host h;

static void what_cannot_wait_is_not_even_copied(void **state)
{
    (void)state;
    char path[256];
    host_begin(&h);
    snprintf(path, sizeof(path), "%s/files", h.private);
    tg_runtime_config c = config_of(&h, 2);
    c.files = &(tg_files_config){.path = path};
    host_start(&h, &c);
    install("probe", installed(&h, "probe"));
    must_load(&h, "probe", NULL);
    must_listen(&h,
                "{\"name\": \"main\", \"adapter\": \"probe\", \"bind\": \"127.0.0.1:0\", "
                "\"anonymous\": true}",
                h.address);
    int fd = dial_to(h.address);
    for (int i = 0; i < 2; i++) { // a refusal leaves no mark
        type(fd, "file-unreadable");
        EXPECT(fd, "file -3");
    }
    type(fd, "bye");
    hung_up(fd);
    assert_int_equal(rmdir(path), 0);
    host_down(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_wait_is_not_even_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
