// SPDX-License-Identifier: Apache-2.0
#include "lab.h"

static void bytes_come_back(void **state)
{
    (void)state;
    lab_start(2);
    tg_listener_spec spec = lab_spec();
    lab_listen(&spec);
    int fd = lab_connect();
    lab_send(fd, "hello", 5);
    lab_expect(fd, "hello", 5);
    lab_wait(opened, 1);
    close(fd);
    lab_wait(closed, 1);
    assert_int_equal(the_lab.reason, TG_E_CLOSED);
    lab_stop();
}

static void a_megabyte_comes_back(void **state)
{
    (void)state;
    lab_start(1);
    tg_listener_spec spec = lab_spec();
    lab_listen(&spec);
    int fd = lab_connect();
    static char block[64 * 1024];
    for (int i = 0; i < 16; i++) {
        memset(block, 'a' + i, sizeof(block));
        lab_send(fd, block, sizeof(block));
        lab_expect(fd, block, sizeof(block));
    }
    close(fd);
    lab_wait(closed, 1);
    lab_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_come_back),
        cmocka_unit_test(a_megabyte_comes_back),
    };
    return LAB_RUN(tests);
}
