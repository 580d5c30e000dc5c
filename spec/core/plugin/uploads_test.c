// SPDX-License-Identifier: Apache-2.0
// The store of uploaded files: names that devices would like to have, and bounds.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/map.h"
#include "plugin/files.h"

#include "../../support/check.h"

static char folder[64];

// The disk, as the store sees it: what was synced, by its number, and what cannot be.
static struct {
    pthread_mutex_t lock;
    ino_t done[64], broken;
    size_t n;
} disk = {.lock = PTHREAD_MUTEX_INITIALIZER};

int fsync(int fd) // instead of the system's, which it calls
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return -1;
    pthread_mutex_lock(&disk.lock);
    bool good = st.st_ino != disk.broken;
    if (good && disk.n < 64)
        disk.done[disk.n++] = st.st_ino;
    pthread_mutex_unlock(&disk.lock);
    errno = EIO;
    return good ? (int)syscall(SYS_fsync, fd) : -1;
}

static int make_folder(void **state)
{
    (void)state;
    tg_hash_seed();
    umask(077);
    snprintf(folder, sizeof(folder), "/tmp/tidegate-files-XXXXXX");
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static int remove_all(void **state)
{
    (void)state;
    return nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static tg_files *open_with(tg_files_config c)
{
    tg_files *f = NULL;
    tg_error e = {0};
    c.path = folder;
    assert_int_equal(tg_files_new(&c, &f, &e), 0);
    return f;
}

static char *path_of(const tg_slice *parts, uint32_t n)
{
    static char text[4096];
    tg_buf b = {0};
    const tg_file_spec spec = {.size = sizeof(spec), .nparts = n, .parts = parts};
    assert_int_equal(tg_files_path("plug", &spec, &b), 0);
    snprintf(text, sizeof(text), "%.*s", (int)b.len, b.at);
    tg_buf_free(&b);
    return text;
}

static char *named(tg_slice device, tg_slice name)
{
    const tg_slice parts[] = {device, name};
    return path_of(parts, 2);
}

/// @return the code; the path in `out`.
static int store(tg_files *f, const char *device, const char *name, size_t size, char *out)
{
    static char bytes[1 << 16];
    tg_stored s;
    tg_error e = {0};
    int rc = tg_files_write(f, named(tg_str(device), tg_str(name)), (tg_slice){bytes, size},
                            &s, &e);
    if (rc == 0 && out != NULL)
        snprintf(out, 256, "%.*s", (int)s.path.len, s.path.at);
    tg_buf_free(&s.path);
    return rc;
}

static bool is_there(const char *path)
{
    char whole[512];
    snprintf(whole, sizeof(whole), "%s/%s", folder, path);
    return access(whole, F_OK) == 0;
}

static int how_many(const char *path)
{
    char whole[512];
    int n = 0;
    snprintf(whole, sizeof(whole), "%s/%s", folder, path);
    DIR *dir = opendir(whole);
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n - 2;
}

static void names_cannot_leave_their_folder(void **state)
{
    (void)state;
    static const struct {
        tg_slice given;
        const char *want;
    } names[] = {
        {{"../../etc/passwd", 16}, "%2E.%2F..%2Fetc%2Fpasswd"},
        {{"..", 2}, "%2E."},
        {{".", 1}, "%2E"},
        {{"/", 1}, "%2F"},
        {{"a\0b", 3}, "a%00b"},
        {{"-rf", 3}, "%2Drf"},
        {{"photo 1.jpg", 11}, "photo%201.jpg"},
        {{"100%", 4}, "100%25"},
        {{"\xe7\x85\xa7.jpg", 7}, "%E7%85%A7.jpg"},
        {{"\r\n", 2}, "%0D%0A"},
        {{"ok-1_2.tar.gz", 13}, "ok-1_2.tar.gz"},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char want[256];
        snprintf(want, sizeof(want), "plug/%s/%s", names[i].want, names[i].want);
        assert_string_equal(named(names[i].given, names[i].given), want);
    }
}

static void long_names_are_cut_and_stay_apart(void **state)
{
    (void)state;
    char a[301], b[301], first[4096];
    memset(a, 'n', 300);
    memcpy(a + 295, ".jpeg", 5);
    memcpy(b, a, 300);
    b[200] = 'm';
    snprintf(first, sizeof(first), "%s", named(TG_LIT("d"), (tg_slice){a, 300}));
    const char *second = named(TG_LIT("d"), (tg_slice){b, 300});
    assert_string_not_equal(first, second);
    assert_true(strlen(first) < 128);
    assert_string_equal(first + strlen(first) - 5, ".jpeg");
    memset(a, '/', 300);
    assert_true(strlen(named((tg_slice){a, 300}, (tg_slice){a, 300})) < 256);
}

static void names_have_two_to_eight_parts_and_none_is_empty(void **state)
{
    (void)state;
    tg_slice parts[9];
    for (int i = 0; i < 9; i++)
        parts[i] = TG_LIT("x");
    for (uint32_t n = 0; n <= 9; n++) {
        tg_buf b = {0};
        const tg_file_spec spec = {.size = sizeof(spec), .nparts = n, .parts = parts};
        assert_int_equal(tg_files_path("p", &spec, &b), n >= 2 && n <= 8 ? 0 : TG_E_INVAL);
        tg_buf_free(&b);
    }
    tg_buf b = {0};
    parts[1].len = 0;
    const tg_file_spec spec = {.size = sizeof(spec), .nparts = 2, .parts = parts};
    assert_int_equal(tg_files_path("p", &spec, &b), TG_E_INVAL);
    tg_buf_free(&b);
}

static void a_file_is_whole_hashed_and_for_its_group_to_read(void **state)
{
    (void)state;
    tg_files *f = open_with((tg_files_config){0});
    tg_stored s;
    tg_error e = {0};
    char whole[512], bytes[16] = {0};
    assert_int_equal(
        tg_files_write(f, named(TG_LIT("d"), TG_LIT("x.bin")), TG_LIT("abc"), &s, &e), 0);
    assert_string_equal(s.sha256,
                        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    snprintf(whole, sizeof(whole), "%s/%.*s", folder, (int)s.path.len, s.path.at);
    struct stat st;
    assert_int_equal(stat(whole, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    FILE *file = fopen(whole, "rb");
    assert_int_equal(fread(bytes, 1, sizeof(bytes), file), 3);
    fclose(file);
    assert_string_equal(bytes, "abc");
    *strrchr(whole, '/') = '\0';
    assert_int_equal(stat(whole, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0750);
    assert_int_equal(tg_files_used(f), 4096);
    tg_buf_free(&s.path);
    tg_files_free(f);
}

static ino_t number_of(const char *path)
{
    char whole[512];
    struct stat st;
    snprintf(whole, sizeof(whole), "%s%s", folder, path);
    assert_int_equal(stat(whole, &st), 0);
    return st.st_ino;
}

static bool is_synced(const char *path)
{
    ino_t number = number_of(path);
    for (size_t i = 0; i < disk.n; i++)
        if (disk.done[i] == number)
            return true;
    return false;
}

static int store_deep(tg_files *f)
{
    tg_stored s;
    tg_error e = {0};
    int rc = tg_files_write(f, "plug/d/day/x.bin", TG_LIT("abc"), &s, &e);
    tg_buf_free(&s.path);
    return rc;
}

static void what_is_answered_is_on_disk_with_all_names_that_lead_to_it(void **state)
{
    (void)state;
    static const char *const folders[] = {"", "/plug", "/plug/d", "/plug/d/day"};
    tg_files *f = open_with((tg_files_config){0});
    for (int round = 0; round < 2; round++) { // made by it, or perhaps just now by another
        disk.n = 0;
        assert_int_equal(store_deep(f), 0);
        assert_true(is_synced("/plug/d/day/x.bin") || round == 1);
        for (size_t i = 0; i < 4; i++)
            assert_true(is_synced(folders[i]));
    }
    tg_files_free(f);
}

static void what_cannot_be_synced_is_refused_and_gone(void **state)
{
    (void)state;
    static const char *const folders[] = {"", "/plug", "/plug/d", "/plug/d/day"};
    tg_files *f = open_with((tg_files_config){0});
    assert_int_equal(store_deep(f), 0);
    for (size_t i = 0; i < 4; i++) {
        disk.broken = number_of(folders[i]);
        assert_int_equal(store_deep(f), TG_E_IO);
        assert_int_equal(how_many("plug/d/day"), 1);
        assert_int_equal(tg_files_used(f), 4096);
    }
    disk.broken = 0;
    assert_int_equal(store_deep(f), 0);
    tg_files_free(f);
}

static void nothing_goes_for_what_is_refused_after_all(void **state)
{
    (void)state;
    tg_files *f = open_with((tg_files_config){.device_files = 2, .drop = true});
    assert_int_equal(store_deep(f), 0);
    assert_int_equal(store_deep(f), 0);
    disk.broken = number_of("/plug/d/day");
    assert_int_equal(store_deep(f), TG_E_IO);
    assert_true(is_there("plug/d/day/x.bin") && is_there("plug/d/day/x-2.bin"));
    assert_int_equal(how_many("plug/d/day"), 2);
    assert_int_equal(tg_files_used(f), 2 * 4096);
    disk.broken = 0;
    assert_int_equal(store_deep(f), 0);
    assert_int_equal(how_many("plug/d/day"), 2);
    assert_int_equal(tg_files_used(f), 2 * 4096);
    tg_files_free(f);
}

static void what_makes_room_for_itself_stays(void **state)
{
    (void)state;
    char path[512];
    tg_files *f = open_with((tg_files_config){.device_files = 1, .drop = true});
    assert_int_equal(store(f, "d", "1", 10, NULL), 0);
    snprintf(path, sizeof(path), "%s/plug/d/1", folder);
    const struct timeval times[] = {{4000000000, 0},
                                    {4000000000, 0}}; // later than any new one
    assert_int_equal(utimes(path, times), 0);
    assert_int_equal(store(f, "d", "2", 10, NULL), 0);
    assert_true(is_there("plug/d/2"));
    assert_int_equal(how_many("plug/d"), 1);
    tg_files_free(f);
}

static void the_store_s_own_folder_is_synced_where_it_was_made(void **state)
{
    (void)state;
    char path[128];
    tg_files *f;
    tg_error e = {0};
    snprintf(path, sizeof(path), "%s/new", folder);
    disk.n = 0;
    assert_int_equal(tg_files_new(&(tg_files_config){.path = path}, &f, &e), 0);
    assert_true(is_synced(""));
    tg_files_free(f);
    assert_int_equal(rmdir(path), 0);
}

static void nothing_is_replaced(void **state)
{
    (void)state;
    tg_files *f = open_with((tg_files_config){0});
    static const char *const want[] = {"plug/d/a.jpg", "plug/d/a-2.jpg", "plug/d/a-3.jpg"};
    char path[256];
    for (int i = 0; i < 3; i++) {
        assert_int_equal(store(f, "d", "a.jpg", 10, path), 0);
        assert_string_equal(path, want[i]);
    }
    assert_int_equal(store(f, "d", "plain", 10, path), 0);
    assert_int_equal(store(f, "d", "plain", 10, path), 0);
    assert_string_equal(path, "plug/d/plain-2");
    assert_int_equal(how_many("plug/d"), 5); // and no temporary one
    tg_files_free(f);
}

static void links_are_not_followed(void **state)
{
    (void)state;
    char outside[64] = "/tmp/tidegate-outside-XXXXXX", link[512];
    assert_non_null(mkdtemp(outside));
    tg_files *f = open_with((tg_files_config){0});
    assert_int_equal(store(f, "first", "x", 1, NULL), 0);
    snprintf(link, sizeof(link), "%s/plug/d", folder);
    assert_int_equal(symlink(outside, link), 0);
    assert_int_equal(store(f, "d", "x", 1, NULL), TG_E_IO);
    assert_int_equal(rmdir(outside), 0); // it is still empty
    tg_files_free(f);
}

static void at_its_bounds_a_device_loses_its_oldest_or_its_newest(void **state)
{
    (void)state;
    tg_files *f = open_with((tg_files_config){.device_files = 3, .drop = true});
    const char *names[] = {"1", "2", "3", "4", "5"};
    for (int i = 0; i < 5; i++) {
        assert_int_equal(store(f, "d", names[i], 10, NULL), 0);
        char path[512];
        snprintf(path, sizeof(path), "%s/plug/d/%s", folder, names[i]);
        const struct timeval times[] = {{1000 + i, 0}, {1000 + i, 0}};
        assert_int_equal(utimes(path, times), 0);
    }
    assert_false(is_there("plug/d/1"));
    assert_false(is_there("plug/d/2"));
    assert_true(is_there("plug/d/3") && is_there("plug/d/4") && is_there("plug/d/5"));
    assert_int_equal(tg_files_used(f), 3 * 4096);
    assert_int_equal(store(f, "other", "1", 10, NULL), 0); // it has bounds of its own
    assert_true(is_there("plug/d/3"));
    tg_files_free(f);

    f = open_with((tg_files_config){.device_bytes = 20000});
    assert_int_equal(store(f, "r", "1", 9000, NULL), 0);
    assert_int_equal(store(f, "r", "2", 9000, NULL), TG_E_FULL);
    assert_int_equal(store(f, "r", "3", 60000, NULL), TG_E_TOOBIG);
    assert_true(is_there("plug/r/1"));
    assert_int_equal(how_many("plug/r"), 1);
    tg_files_free(f);
}

static void all_files_together_have_a_bound_also_after_a_restart(void **state)
{
    (void)state;
    tg_files *f = open_with((tg_files_config){.total = 10 * 4096});
    for (int i = 0; i < 10; i++)
        assert_int_equal(store(f, i % 2 == 0 ? "a" : "b", "x", 4096, NULL), 0);
    assert_int_equal(store(f, "c", "x", 1, NULL), TG_E_FULL);
    tg_files_free(f);
    f = open_with((tg_files_config){.total = 10 * 4096});
    assert_int_equal(store(f, "c", "x", 1, NULL), TG_E_FULL);
    char path[512];
    snprintf(path, sizeof(path), "%s/plug/a/x", folder);
    assert_int_equal(unlink(path), 0); // somebody tidies up
    tg_files_sweep(f);
    assert_int_equal(store(f, "c", "x", 1, NULL), 0);
    tg_files_free(f);
}

static void age(const char *path, time_t seconds)
{
    char whole[512];
    snprintf(whole, sizeof(whole), "%s/%s", folder, path);
    const struct timeval times[] = {{time(NULL) - seconds, 0}, {time(NULL) - seconds, 0}};
    assert_int_equal(utimes(whole, times), 0);
}

static void a_sweep_removes_what_is_old_and_what_a_crash_left(void **state)
{
    (void)state;
    tg_files *f = open_with((tg_files_config){.max_age_s = 100});
    assert_int_equal(store(f, "a", "old", 10, NULL), 0);
    assert_int_equal(store(f, "b", "new", 10, NULL), 0);
    assert_int_equal(store(f, "b", "left", 10, NULL), 0);
    char from[512], to[512];
    snprintf(from, sizeof(from), "%s/plug/b/left", folder);
    snprintf(to, sizeof(to), "%s/plug/b/.0123456789abcdef", folder);
    assert_int_equal(rename(from, to), 0);
    age("plug/a/old", 200);
    age("plug/b/.0123456789abcdef", 7200);
    assert_int_equal(tg_files_sweep(f), 1);
    assert_false(is_there("plug/a/old"));
    assert_true(is_there("plug/b/new"));
    assert_false(is_there("plug/b/.0123456789abcdef"));
    assert_int_equal(tg_files_used(f), 4096);
    age("plug/a", 7200);
    tg_files_sweep(f);
    assert_false(is_there("plug/a")); // empty for long
    assert_int_equal(store(f, "a", "again", 10, NULL), 0);
    tg_files_free(f);
}

static void *write_many(void *ctx)
{
    for (int i = 0; i < 25; i++) {
        tg_stored s;
        tg_error e = {0};
        if (tg_files_write(ctx, "plug/d/same.jpg", TG_LIT("abc"), &s, &e) != 0)
            return ctx;
        tg_buf_free(&s.path);
    }
    return NULL;
}

static void many_write_at_once(void **state)
{
    (void)state;
    tg_files *f = open_with((tg_files_config){.device_files = 1000});
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, f), 0);
    tg_files_sweep(f);
    for (int i = 0; i < 4; i++) {
        void *failed = f;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    assert_int_equal(how_many("plug/d"), 100);
    tg_files_sweep(f);
    assert_int_equal(tg_files_used(f), 100 * 4096);
    tg_files_free(f);
}

#define T(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_all)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(names_cannot_leave_their_folder),
        T(long_names_are_cut_and_stay_apart),
        T(names_have_two_to_eight_parts_and_none_is_empty),
        T(a_file_is_whole_hashed_and_for_its_group_to_read),
        T(what_is_answered_is_on_disk_with_all_names_that_lead_to_it),
        T(what_cannot_be_synced_is_refused_and_gone),
        T(nothing_goes_for_what_is_refused_after_all),
        T(what_makes_room_for_itself_stays),
        T(the_store_s_own_folder_is_synced_where_it_was_made),
        T(nothing_is_replaced),
        T(links_are_not_followed),
        T(at_its_bounds_a_device_loses_its_oldest_or_its_newest),
        T(all_files_together_have_a_bound_also_after_a_restart),
        T(a_sweep_removes_what_is_old_and_what_a_crash_left),
        T(many_write_at_once),
    };
    return RUN(tests);
}
