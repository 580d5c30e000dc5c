// SPDX-License-Identifier: Apache-2.0
// Streams are given as hex and read back as one line: frames in hex, everything else as its
// kind and the bytes it took, so that a test reads as what a person would write down.
#include "codec/frame.h"

#include <stdlib.h>

#include "base/buf.h"
#include "../../support/check.h"

static const tg_frame GT06[] = {
    {.size = sizeof(tg_frame),
     .kind = TG_FRAME_LENGTH,
     .check = TG_CHECK_CRC16_X25,
     .check_be = 1,
     .size_width = 1,
     .size_be = 1,
     .magic = {"xx", 2},
     .trailer = {"\r\n", 2},
     .size_at = 2,
     .size_adjust = 2,
     .check_from = 2,
     .check_tail = 2,
     .min = 10,
     .max = 260},
    {.size = sizeof(tg_frame),
     .kind = TG_FRAME_LENGTH,
     .check = TG_CHECK_CRC16_X25,
     .check_be = 1,
     .size_width = 2,
     .size_be = 1,
     .magic = {"yy", 2},
     .trailer = {"\r\n", 2},
     .size_at = 2,
     .size_adjust = 2,
     .check_from = 2,
     .check_tail = 2,
     .min = 11,
     .max = 2048},
};

static const tg_frame JT808 = {.size = sizeof(tg_frame),
                               .kind = TG_FRAME_ESCAPED,
                               .check = TG_CHECK_XOR8,
                               .escape = 0x7D,
                               .nescapes = 2,
                               .escapes = {{0x02, 0x7E}, {0x01, 0x7D}},
                               .magic = {"~", 1},
                               .min = 15,
                               .max = 2100};

static const tg_frame LINE = {.size = sizeof(tg_frame), .kind = TG_FRAME_LINE, .max = 16};

static size_t unhex(const char *text, char *out)
{
    size_t n = 0;
    for (; text[0] != '\0' && text[1] != '\0'; text += 2) {
        if (*text == ' ') {
            text--;
            continue;
        }
        char pair[3] = {text[0], text[1], 0};
        out[n++] = (char)strtoul(pair, NULL, 16);
    }
    return n;
}

typedef struct reader {
    tg_framer *f;
    tg_buf stream, said;
    size_t from;
    char *scratch;
    bool only_frames;
    size_t most; ///< the most bytes that waited
} reader;

static void reader_open(reader *r, const tg_frame *frames, uint32_t n)
{
    tg_error e = {0};
    *r = (reader){0};
    assert_int_equal(tg_framer_new(frames, n, &r->f, &e), 0);
    r->scratch = malloc(tg_framer_max(r->f));
}

static void reader_close(reader *r)
{
    tg_framer_free(r->f);
    tg_buf_free(&r->stream);
    tg_buf_free(&r->said);
    free(r->scratch);
}

static void say(reader *r, tg_step step, const tg_framed *found)
{
    static const char *const names[] = {"more",   "frame",   "junk",  "sum",
                                        "toobig", "trailer", "escape"};
    if (step == TG_STEP_FRAME) {
        tg_buf_puts(&r->said, "[");
        for (size_t i = 0; i < found->frame.len; i++)
            tg_buf_printf(&r->said, "%02x", (uint8_t)found->frame.at[i]);
        tg_buf_puts(&r->said, "]");
    } else if (!r->only_frames) {
        tg_buf_printf(&r->said, "%s%zu ", names[step], found->used);
    }
}

static void feed(reader *r, const char *at, size_t len)
{
    tg_buf_put(&r->stream, at, len);
    for (;;) {
        tg_framed found;
        tg_step step =
            tg_framer_step(r->f, tg_buf_slice(&r->stream), r->scratch, &r->from, &found);
        assert_true(found.used <= r->stream.len);
        if (step != TG_STEP_MORE) {
            assert_true(found.used > 0);
            say(r, step, &found);
        }
        tg_buf_drop(&r->stream, found.used);
        if (step == TG_STEP_MORE)
            break;
    }
    if (r->stream.len > r->most)
        r->most = r->stream.len;
}

static const char *said(reader *r)
{
    tg_buf_putc(&r->said, '\0');
    return r->said.at;
}

static void reads(const tg_frame *frames, uint32_t n, const char *hex, const char *want)
{
    char bytes[4096];
    size_t len = unhex(hex, bytes);
    reader r;
    reader_open(&r, frames, n);
    feed(&r, bytes, len);
    assert_string_equal(said(&r), want);
    reader_close(&r);
}

/// The frames, whatever the cuts: at each place, and byte by byte.
static void same_frames(const tg_frame *frames, uint32_t n, const char *hex,
                        const char *want)
{
    char bytes[4096];
    size_t len = unhex(hex, bytes);
    for (size_t cut = 0; cut <= len; cut++) {
        reader r;
        reader_open(&r, frames, n);
        r.only_frames = true;
        feed(&r, bytes, cut);
        feed(&r, bytes + cut, len - cut);
        assert_string_equal(said(&r), want);
        reader_close(&r);
    }
    reader r;
    reader_open(&r, frames, n);
    r.only_frames = true;
    for (size_t i = 0; i < len; i++)
        feed(&r, bytes + i, 1);
    assert_string_equal(said(&r), want);
    reader_close(&r);
}

#define LOGIN "78780d0108650123456789010001e7d80d0a"
#define BEAT "78780a1346060400020002b8f40d0a"
#define VOLT "79790008940004d2000261680d0a"

static void frames_with_a_length_come_whole_at_every_cut(void **state)
{
    (void)state;
    same_frames(GT06, 2, LOGIN VOLT BEAT, "[" LOGIN "][" VOLT "][" BEAT "]");
    same_frames(GT06, 2, "00ff0d0a79" LOGIN "0d0a0d0a" BEAT, "[" LOGIN "][" BEAT "]");
}

static void wrong_pieces_are_named_and_the_search_goes_on(void **state)
{
    (void)state;
    reads(GT06, 2, "78", "");
    reads(GT06, 2, "474554", "junk3 ");
    reads(GT06, 2, "78780d0108650123456789010001e7270d0a" BEAT, "sum18 [" BEAT "]");
    reads(GT06, 2, "7878040100010d0a" BEAT, "toobig8 [" BEAT "]");
    reads(GT06, 2, "79790000940d0a" BEAT, "toobig7 [" BEAT "]");
    reads(GT06, 2, "7979ffff940d0a" BEAT, "toobig7 [" BEAT "]");
    reads(GT06, 2, "787805010001d9dc0d0b" BEAT, "trailer10 [" BEAT "]");
    // cut short, then others: the size leads into the next frame, one byte on finds it
    reads(GT06, 2, "78781f121a06010c" BEAT BEAT BEAT,
          "trailer8 [" BEAT "][" BEAT "][" BEAT "]");
}

static void a_lenient_form_finds_the_end_by_its_checksum(void **state)
{
    (void)state;
    tg_frame lenient[] = {GT06[0], GT06[1]};
    lenient[0].lenient = lenient[1].lenient = 1;
#define SHORT "78780813460602000200047da00d0a"
#define CUT "787825161a0108080d1eaa035935500d09a5800014850043050000020002e3330d0a"
    same_frames(lenient, 2, SHORT BEAT, "[" SHORT "][" BEAT "]");
    same_frames(lenient, 2, CUT BEAT LOGIN, "[" CUT "][" BEAT "][" LOGIN "]");
    reads(GT06, 2, SHORT, "trailer15 ");
    reads(GT06, 2, CUT, "");
}

static void a_base_128_size_and_each_width_work(void **state)
{
    (void)state;
    tg_frame d = {.size = sizeof(d),
                  .kind = TG_FRAME_LENGTH,
                  .size_width = 0,
                  .size_at = 1,
                  .max = 400};
    char hex[1024] = "30c801";
    for (int i = 0; i < 200; i++)
        strcat(hex, "ab");
    char want[1024] = "[";
    strcat(want, hex);
    strcat(want, "]");
    same_frames(&d, 1, hex, want);
    reads(&d, 1, "30ffffffff", "toobig1 ");
    tg_frame le = {.size = sizeof(d),
                   .kind = TG_FRAME_LENGTH,
                   .size_width = 3,
                   .magic = {"\x01", 1},
                   .size_at = 1,
                   .max = 100};
    same_frames(&le, 1, "01020000aabb", "[01020000aabb]");
    le.size_width = 4;
    le.size_be = 1;
    same_frames(&le, 1, "0100000001aa", "[0100000001aa]");
}

#define HEART "000200000138001380000007af"
static void escaped_frames_at_every_cut_and_with_shared_flags(void **state)
{
    (void)state;
    const char *two = "[" HEART "][" HEART "]";
    same_frames(&JT808, 1, "7e" HEART "7e7e" HEART "7e", two);
    same_frames(&JT808, 1, "7e" HEART "7e" HEART "7e", two);
    same_frames(&JT808, 1, "aabb7e" HEART "7e7e7e7e" HEART "7e", two);
    same_frames(&JT808, 1, "7e000200000138001380007d027d01ab7e",
                "[000200000138001380007e7dab]");
    same_frames(&JT808, 1, "7e000200000138001380000001fc7e7e" HEART "7e", "[" HEART "]");
    same_frames(&JT808, 1, "7e" HEART "7e0102037e" HEART "7e", two);
}

static void senders_that_escape_nothing_are_read_by_a_lenient_form(void **state)
{
    (void)state;
    tg_frame lenient = JT808;
    lenient.lenient = 1;
    // the checksum is an escape byte and was sent as it is
    same_frames(&lenient, 1, "7e0002000000000000067900007d7e",
                "[0002000000000000067900007d]");
    // data that looks like an escape: the checksum says which reading is right
    same_frames(&lenient, 1, "7e0900000201380013800000017d01dc7e",
                "[0900000201380013800000017d01dc]");
    same_frames(&lenient, 1, "7e000200000138001380007d027d01ab7e",
                "[000200000138001380007e7dab]");
    reads(&lenient, 1, "7e0002007d037e7e" HEART "7e", "junk7 [" HEART "]");
    reads(&lenient, 1, "7e000200000138001380007d027d01ac7e", "sum17 ");
}

static void wrong_escapes_and_endless_bodies_are_dropped(void **state)
{
    (void)state;
    reads(&JT808, 1, "7e0002007d037e7e" HEART "7e", "escape7 [" HEART "]");
    reads(&JT808, 1, "7e00020000013800138000007d7e", "escape14 ");
    reader r;
    reader_open(&r, &JT808, 1);
    r.only_frames = true;
    feed(&r, "~", 1);
    for (int i = 0; i < 100000; i++)
        feed(&r, "UUUUUUUUUU", 10);
    assert_true(r.most <= 2100);
    reader_close(&r);
}

static void lines_lose_their_end_and_long_ones_are_skipped_whole(void **state)
{
    (void)state;
    same_frames(&LINE, 1, "61620d0a0d0a630a", "[6162][][63]");
    // 20 bytes, then a line: the rest of the long one must not come out as a line
    const char *longer = "4141414141414141414141414141414141414141"
                         "4242424242424242424242424242424242424242420a63640a";
    same_frames(&LINE, 1, longer, "[6364]");
}

static void delimiters_of_several_bytes(void **state)
{
    (void)state;
    tg_frame d = {.size = sizeof(d),
                  .kind = TG_FRAME_DELIMITER,
                  .check = TG_CHECK_SUM8,
                  .magic = {"$", 1},
                  .trailer = {"##;", 3},
                  .check_from = 1,
                  .max = 12};
    same_frames(&d, 1,
                "2461626323 61 23233b"
                "24616263 2623233b",
                "[2461626326]");
    same_frames(&d, 1,
                "0000"
                "24010206 09 23233b"
                "24 05 05 23233b",
                "[2401020609][240505]");
    reads(&d, 1,
          "24010209"
          "23233b",
          "sum7 ");
    reads(&d, 1,
          "24 0102030405060708090a0b"
          "24 05 05 23233b",
          "toobig12 [240505]");
}

static void fixed_frames_check_their_trailer(void **state)
{
    (void)state;
    tg_frame d = {.size = sizeof(d),
                  .kind = TG_FRAME_FIXED,
                  .check = TG_CHECK_XOR8,
                  .magic = {"\xAA", 1},
                  .trailer = {"\x55", 1},
                  .check_tail = 1,
                  .max = 5};
    same_frames(&d, 1,
                "aa0102a955"
                "ff"
                "aa0000aa55",
                "[aa0102a955][aa0000aa55]");
    reads(&d, 1, "aa0102a956aa0000aa55", "trailer5 [aa0000aa55]");
    reads(&d, 1, "aa01020055", "sum5 ");
}

static void without_a_trailer_a_wrong_checksum_may_be_a_wrong_size(void **state)
{
    (void)state;
    tg_frame d = {.size = sizeof(d),
                  .kind = TG_FRAME_LENGTH,
                  .check = TG_CHECK_XOR8,
                  .size_width = 1,
                  .magic = {"##", 2},
                  .size_at = 2,
                  .size_adjust = 1,
                  .check_from = 2,
                  .min = 4,
                  .max = 64};
    same_frames(&d, 1,
                "23230611"
                "232301aaab"
                "232301aaab",
                "[232301aaab][232301aaab]");
    reads(&d, 1, "23230611232301aaab232301aaab", "sum4 [232301aaab][232301aaab]");
    reads(&d, 1, "232301aaac232301aaab", "sum5 [232301aaab]");
}

static void a_guarded_byte_tells_false_starts(void **state)
{
    (void)state;
    tg_frame d = {.size = sizeof(d),
                  .kind = TG_FRAME_LENGTH,
                  .check = TG_CHECK_XOR8,
                  .size_width = 1,
                  .magic = {"##", 2},
                  .size_at = 3,
                  .size_adjust = 1,
                  .check_from = 2,
                  .min = 5,
                  .max = 64,
                  .guard_at = 2,
                  .guard = {"\1\2", 2}};
    same_frames(&d, 1, "23230101aaaa", "[23230101aaaa]");
    reads(&d, 1, "2323230101aaaa", "junk1 [23230101aaaa]"); // else 0x23 were its size
    reads(&d, 1, "232303232323", "junk4 ");
}

static void a_name_of_any_length_moves_the_size(void **state)
{
    (void)state;
    tg_frame d = {.size = sizeof(d),
                  .kind = TG_FRAME_LENGTH,
                  .size_width = 2,
                  .size_be = 1,
                  .magic = {"01", 2},
                  .counted_at = 2,
                  .size_at = 4,
                  .max = 40};
    same_frames(&d, 1,
                "303100ff0000"
                "303103414243ff0001aa"
                "303101610000"
                "02"
                "bbbb",
                "[303100ff0000][303103414243ff0001aa][30310161000002bbbb]");
    reads(&d, 1,
          "3031ff30310000"
          "0001aa",
          "toobig3 [303100000001aa]"); // no room for that name
    reads(&d, 1,
          "303100ff0030"
          "303100ff0000",
          "toobig6 [303100ff0000]");
    reads(&d, 1, "303122", "");
    reads(&d, 1, "303123", "toobig3 ");
    d.counted_at = 4;
    tg_framer *f = NULL;
    tg_error e = {0};
    assert_int_equal(tg_framer_new(&d, 1, &f, &e), TG_E_INVAL);
    assert_string_equal(e.message, "frame[1].counted_at: stands before the size");
}

static void giving_up_goes_to_the_next_start(void **state)
{
    (void)state;
    tg_framer *f = NULL;
    assert_int_equal(tg_framer_new(GT06, 2, &f, NULL), 0);
    assert_int_equal(tg_framer_give_up(f, TG_LIT("xx\x20"
                                                 "abc")),
                     6);
    assert_int_equal(tg_framer_give_up(f, TG_LIT("xx\x20"
                                                 "axxd")),
                     4);
    assert_int_equal(tg_framer_give_up(f, TG_LIT("xx\x20"
                                                 "abcy")),
                     6);
    assert_int_equal(tg_framer_give_up(f, TG_LIT("")), 0);
    assert_int_equal(tg_framer_stall_ms(f), 10000);
    assert_int_equal(tg_framer_max(f), 2048);
    tg_framer_free(f);
}

static void escaping_undoes_unescaping(void **state)
{
    (void)state;
    tg_framer *f = NULL;
    assert_int_equal(tg_framer_new(&JT808, 1, &f, NULL), 0);
    tg_buf out = {0};
    assert_int_equal(tg_framer_escape(f, 0, TG_LIT("a~b}c"), &out), 0);
    assert_true(tg_slice_eq(tg_buf_slice(&out), TG_LIT("~a}\002b}\001c~")));
    assert_int_equal(tg_framer_escape(f, 1, TG_LIT("a"), &out), TG_E_INVAL);
    tg_buf_free(&out);
    tg_framer_free(f);
}

static void refuses(tg_frame d, const char *why)
{
    tg_framer *f = NULL;
    tg_error e = {0};
    assert_int_equal(tg_framer_new(&d, 1, &f, &e), TG_E_INVAL);
    assert_non_null(strstr(e.message, why));
}

static void wrong_declarations_are_refused_by_name(void **state)
{
    (void)state;
    tg_frame d = GT06[0];
    d.max = 5;
    d.min = 0;
    refuses(d, "frame[1].max");
    d = GT06[0];
    d.min = 300;
    refuses(d, "frame[1].min");
    d = GT06[0];
    d.size_width = 5;
    refuses(d, "size_width");
    d = JT808;
    d.nescapes = 1;
    refuses(d, "escapes");
    d = LINE;
    d.lenient = 1;
    refuses(d, "lenient");
    d = LINE;
    d.guard = (tg_slice){"x", 1};
    refuses(d, "guard");
    d = LINE;
    d.kind = TG_FRAME_DELIMITER;
    refuses(d, "trailer");
    d.kind = TG_FRAME_RAW;
    refuses(d, "kind");
    tg_framer *f = NULL;
    tg_error e = {0};
    const tg_frame two[] = {LINE, GT06[0]};
    assert_int_equal(tg_framer_new(two, 2, &f, &e), TG_E_INVAL);
    assert_non_null(strstr(e.message, "frame[1].magic"));
}

/// Streams that try to make each byte cost the whole buffer.
static void hostile_streams_cost_no_quadratic_time(void **state)
{
    (void)state;
    tg_frame lenient[] = {GT06[0], GT06[1]};
    lenient[0].lenient = lenient[1].lenient = 1;
    enum { N = 200000 };
    char *bytes = malloc(N);
    const char *const patterns[] = {"x", "y", "xx\x05\r\n", "yy\x07\xff\r\n", "\r\n"};
    for (size_t p = 0; p < 5; p++) {
        size_t len = strlen(patterns[p]);
        for (size_t i = 0; i < N; i++)
            bytes[i] = patterns[p][i % len];
        reader r;
        reader_open(&r, lenient, 2);
        r.only_frames = true;
        for (size_t i = 0; i < N; i += 1000)
            feed(&r, bytes + i, 1000);
        assert_true(r.most <= 2048);
        reader_close(&r);
    }
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_with_a_length_come_whole_at_every_cut),
        cmocka_unit_test(wrong_pieces_are_named_and_the_search_goes_on),
        cmocka_unit_test(a_lenient_form_finds_the_end_by_its_checksum),
        cmocka_unit_test(a_base_128_size_and_each_width_work),
        cmocka_unit_test(escaped_frames_at_every_cut_and_with_shared_flags),
        cmocka_unit_test(senders_that_escape_nothing_are_read_by_a_lenient_form),
        cmocka_unit_test(wrong_escapes_and_endless_bodies_are_dropped),
        cmocka_unit_test(lines_lose_their_end_and_long_ones_are_skipped_whole),
        cmocka_unit_test(delimiters_of_several_bytes),
        cmocka_unit_test(fixed_frames_check_their_trailer),
        cmocka_unit_test(without_a_trailer_a_wrong_checksum_may_be_a_wrong_size),
        cmocka_unit_test(a_guarded_byte_tells_false_starts),
        cmocka_unit_test(a_name_of_any_length_moves_the_size),
        cmocka_unit_test(giving_up_goes_to_the_next_start),
        cmocka_unit_test(escaping_undoes_unescaping),
        cmocka_unit_test(wrong_declarations_are_refused_by_name),
        cmocka_unit_test(hostile_streams_cost_no_quadratic_time),
    };
    return RUN(tests);
}
