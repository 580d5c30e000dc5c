// SPDX-License-Identifier: Apache-2.0
#include "plugin/loader.h"

#include "files.h"

static char folder[128], file[256];

static int make(void **state)
{
    (void)state;
    make_folder(folder, sizeof(folder));
    snprintf(file, sizeof(file), "%s/x.so", folder);
    return 0;
}

static int clean(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

static int judge(const char *path, tg_identity *id, tg_error *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    int rc = tg_elf_read(fd, path, id, e);
    close(fd);
    return rc;
}

static void the_identity_is_read_without_running_a_line(void **state)
{
    (void)state;
    tg_identity id;
    tg_error e = {0};
    assert_int_equal(judge(built("probe"), &id, &e), 0);
    assert_string_equal(id.plugin.id, "probe");
    assert_string_equal(id.plugin.version, "1.0.0");
    assert_int_equal(id.plugin.abi_major, TG_ABI_MAJOR);
    assert_int_equal(id.plugin.flags, TG_PLUGIN_UNMAP_SAFE);
    assert_null(id.plugin.life.load);
    assert_non_null(strstr(id.schema, "\"fail\""));
    assert_int_equal(id.schema_len, strlen(id.schema));
    tg_identity_free(&id);
}

static void what_is_refused_says_why(void **state)
{
    (void)state;
    const struct {
        const char *name, *why;
        int code;
    } cases[] = {
        {"abi_major", "built for ABI 2, this host has 1.", TG_E_VERSION},
        {"abi_minor", "needs ABI 1.", TG_E_VERSION},
        {"lua_version", "a module for Lua version 501, this host runs 504", TG_E_VERSION},
        {"no_symbol", "does not export tg_plugin_v1", TG_E_MALFORMED},
        {"bad_id", "its id is empty or has other than", TG_E_MALFORMED},
        {"bad_capability", "capabilities that this host does not have", TG_E_VERSION},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tg_identity id;
        tg_error e = {0};
        const char *path = built(cases[i].name);
        assert_int_equal(judge(path, &id, &e), cases[i].code);
        if (strstr(e.message, cases[i].why) == NULL || strstr(e.message, path) == NULL)
            fail_msg("'%s' says: %s", cases[i].name, e.message);
    }
}

static void what_is_no_elf_file_is_refused(void **state)
{
    (void)state;
    const char *texts[] = {"", "\177ELF", "#!/bin/sh\nexit 0\n",
                           "\177ELF\2\1\1 and then nothing"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        tg_identity id;
        tg_error e = {0};
        spill(file, texts[i], strlen(texts[i]));
        assert_int_equal(judge(file, &id, &e), TG_E_MALFORMED);
        assert_non_null(strstr(e.message, "not an ELF file"));
    }
}

// Every length of the headers, then steps: the section headers stand last, so that no cut of
// the file can pass.
static void a_truncated_file_is_refused_at_every_cut(void **state)
{
    (void)state;
    size_t len;
    char *bytes = slurp(built("no_load"), &len);
    for (size_t cut = 0; cut < len; cut += cut < 300 ? 1 : len / 97 + 1) {
        tg_identity id;
        tg_error e = {0};
        spill(file, bytes, cut);
        if (judge(file, &id, &e) >= 0)
            fail_msg("%zu of %zu bytes", cut, len);
    }
    free(bytes);
}

static void a_file_for_another_machine_is_refused(void **state)
{
    (void)state;
    size_t len;
    char *bytes = slurp(built("no_load"), &len);
    tg_identity id;
    tg_error e = {0};
    bytes[18] = 8; // EM_MIPS
    spill(file, bytes, len);
    assert_int_equal(judge(file, &id, &e), TG_E_VERSION);
    assert_non_null(strstr(e.message, "another machine"));
    free(bytes);
}

static uint64_t dice = 88172645463325252u;

static uint64_t roll(void)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    return dice ^= dice << 17;
}

// Whatever is answered, nothing outside of the file is read. Headers are hit most.
static void damaged_files_are_judged_without_harm(void **state)
{
    (void)state;
    size_t len;
    char *whole = slurp(built("probe"), &len), *bytes = malloc(len);
    for (int round = 0; round < 1500; round++) {
        memcpy(bytes, whole, len);
        for (int n = 1 + (int)(roll() % 4); n > 0; n--) {
            size_t at = roll() % 3 == 0 ? roll() % 64
                        : roll() % 2    ? len - 1 - roll() % (len < 4000 ? len : 4000)
                                        : roll() % len;
            bytes[at] = (char)roll();
        }
        tg_identity id;
        tg_error e = {0};
        spill(file, bytes, len);
        if (judge(file, &id, &e) == 0)
            tg_identity_free(&id);
    }
    free(whole);
    free(bytes);
}

static void a_copy_has_the_bytes_and_their_hash(void **state)
{
    (void)state;
    tg_error e = {0};
    char copy[300], hash[65];
    spill(file, "abc", 3);
    int fd = tg_loader_copy(file, folder, copy, sizeof(copy), hash, &e);
    assert_true(fd >= 0);
    close(fd);
    assert_string_equal(hash,
                        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    size_t len;
    char *bytes = slurp(copy, &len);
    assert_memory_equal(bytes, "abc", 3);
    free(bytes);
    struct stat st;
    assert_int_equal(stat(copy, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(
        tg_loader_copy("/nonexistent/x.so", folder, copy, sizeof(copy), hash, &e),
        TG_E_NOTFOUND);
    assert_int_equal(tg_loader_copy(folder, folder, copy, sizeof(copy), hash, &e),
                     TG_E_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_identity_is_read_without_running_a_line, make,
                                        clean),
        cmocka_unit_test_setup_teardown(what_is_refused_says_why, make, clean),
        cmocka_unit_test_setup_teardown(what_is_no_elf_file_is_refused, make, clean),
        cmocka_unit_test_setup_teardown(a_truncated_file_is_refused_at_every_cut, make,
                                        clean),
        cmocka_unit_test_setup_teardown(a_file_for_another_machine_is_refused, make, clean),
        cmocka_unit_test_setup_teardown(damaged_files_are_judged_without_harm, make, clean),
        cmocka_unit_test_setup_teardown(a_copy_has_the_bytes_and_their_hash, make, clean),
    };
    return RUN(tests);
}
