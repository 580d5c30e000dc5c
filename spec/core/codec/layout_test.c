// SPDX-License-Identifier: Apache-2.0
#include "layout_check.h"

static void integers_of_every_width_and_order(void **state)
{
    (void)state;
    both_ways("a:u8 b:i8 c:u16be d:u16le e:i16be", "ff ff 0102 0102 8000",
              "{\"a\":255,\"b\":-1,\"c\":258,\"d\":513,\"e\":-32768}");
    both_ways("a:u24be b:i24le c:u32be d:u32le e:i32be",
              "010203 ffffff 01020304 01020304 fffffffe",
              "{\"a\":66051,\"b\":-1,\"c\":16909060,\"d\":67305985,\"e\":-2}");
    both_ways("a:u40be b:u48le c:i64be d:i64le",
              "0102030405 010203040506 ffffffffffffffff 0100000000000000",
              "{\"a\":4328719365,\"b\":6618611909121,\"c\":-1,\"d\":1}");
    shows("a:u64be", "ffffffffffffffff", "{\"a\":18446744073709551615}");
    both_ways("a:f32be b:f64le c:f32le*10", "3fc00000 0000000000000440 0000803f",
              "{\"a\":1.5,\"b\":2.5,\"c\":10}");
    shows("a:f32be", "7fc00000", "{\"a_raw\":\"7fc00000\"}");
}

static void scales_are_exact(void **state)
{
    (void)state;
    both_ways("v:u16be*0.01 t:u8-40 c:u16be*0.1-1000", "019f 14 2710",
              "{\"v\":4.15,\"t\":-20,\"c\":0}");
    both_ways("lat:u32be/1800000 lon:u32be/1800000~6", "0359c4c0 0d085ff4",
              "{\"lat\":31.2304,\"lon\":121.4737}");
    both_ways("a:i16be*0.5+0.25 b:u8*3 c:u8/4 d:u8/3~2", "fffd 02 05 02",
              "{\"a\":-1.25,\"b\":6,\"c\":1.25,\"d\":0.67}");
    shows("a:i64be*10", "7fffffffffffffff", "{\"a_raw\":9223372036854775807}");
    shows("a:u64be*0.1", "ffffffffffffffff", "{\"a_raw\":18446744073709551615}");
    shows("a:u64be*0.5", "00000000ffffffff", "{\"a\":2147483647.5}");
}

static void sentinels_and_enums_have_words(void **state)
{
    (void)state;
    const char *text =
        "v:u16be*0.1 ?0xFFFE=abnormal ?0xFFFF=invalid m:u8{0=off 1=on} n:u8?0xFF";
    both_ways(text, "0064 01 05", "{\"v\":10,\"m\":\"on\",\"n\":5}");
    both_ways(text, "fffe 07 ff", "{\"v\":\"abnormal\",\"m\":7}");
    shows("m:u8{0=off 1=\"switched on\"}!raw", "01", "{\"m\":\"switched on\",\"m_raw\":1}");
    both_ways("a:i16be{-1=none}", "ffff", "{\"a\":\"none\"}");
    both_ways("a:u16be in 0..360 b:u8", "0168 01", "{\"a\":360,\"b\":1}");
    shows("a:u16be in 0..360 b:u8", "0169 01", "{\"a_raw\":361,\"b\":1}");
}

static void bits_count_from_the_lowest(void **state)
{
    (void)state;
    const char *word = "w:u16be(course:10 in 0..360 north:flag west:flag _:2 temp:i2*0.5)";
    both_ways(word, "845a",
              "{\"w\":{\"course\":90,\"north\":true,\"west\":false,\"temp\":-1}}");
    both_ways("_:u8(sat:4 len:4) x:u8", "cf 01", "{\"sat\":15,\"len\":12,\"x\":1}");
    shows("s:u8(a:flag b:7)!flat!raw", "81", "{\"s_raw\":129,\"a\":true,\"b\":64}");
    shows("s:u8(a:flag b:7)!raw", "81", "{\"s_raw\":129,\"s\":{\"a\":true,\"b\":64}}");
    both_ways("f:u32be set{0=sos 1=overspeed 31=door}", "80000005",
              "{\"f\":[\"sos\",\"bit2\",\"door\"]}");
    both_ways("a:bool b:bool", "00 01", "{\"a\":false,\"b\":true}");
}

static void a_sign_may_stand_in_a_later_bit(void **state)
{
    (void)state;
    const char *text =
        "lat:u32be/1800000 minus north=0 lon:u32be/1800000 minus west=1 !raw "
        "_:u16be(course:10 north:flag west:flag)";
    both_ways("lat:u32be/1800000 minus north=0 _:u16be(course:10 north:flag)",
              "0359c4c0 005a", "{\"lat\":-31.2304,\"course\":90,\"north\":false}");
    shows(text, "0359c4c0 0d085ff4 1c5a",
          "{\"lat\":31.2304,\"lon\":-121.4737,\"lon_raw\":218652660,\"course\":90,"
          "\"north\":true,\"west\":true}");
    shows("p:[*]{ v:u8 minus s=1 s:u8 }", "0501 0500",
          "{\"p\":[{\"v\":-5,\"s\":1},{\"v\":5,\"s\":0}]}");
}

static void bytes_and_texts(void **state)
{
    (void)state;
    both_ways(
        "sn:bcd[4] n:dec[2]*0.1 h:hex[2] t:ascii[6] r:rest",
        "01234567 1234 beef 616263000000 ff00",
        "{\"sn\":\"01234567\",\"n\":123.4,\"h\":\"beef\",\"t\":\"abc\",\"r\":\"ff00\"}");
    shows("a:u8 r:rest", "01", "{\"a\":1}");
    both_ways("plate:gbk[8] w:utf16be[u8]", "bea94131323300 00 04 4e2d 0041",
              "{\"plate\":\"京A123\",\"w\":\"中A\"}");
    both_ways("a:utf8[z] b:ascii[u16be-2] c:ascii[*-1] d:u8", "e4b8ad00 0004 6869 7a7a 09",
              "{\"a\":\"中\",\"b\":\"hi\",\"c\":\"zz\",\"d\":9}");
    shows("t:ascii[6]!trim u:ascii[3]!keep", "206120620000 780000",
          "{\"t\":\"a b\",\"u\":\"x\\u0000\\u0000\"}");
    shows("t:utf16be[3]", "4e2d65", "{\"t\":\"中\xef\xbf\xbd\",\"t_raw\":\"4e2d65\"}");
    shows("n:dec[2]", "12a4", "{\"n_raw\":\"12a4\"}");
    both_ways("_n:u8 t:ascii[_n-1] x:u8", "03 6162 07", "{\"t\":\"ab\",\"x\":7}");
    shows("skip[2] a:u8", "0000 05", "{\"a\":5}");
}

static void times(void **state)
{
    (void)state;
    both_ways("t:time6", "1a06010c0200", "{\"t\":\"2026-06-01T12:02:00Z\"}");
    both_ways("t:time6@+08:00", "1a0601140200", "{\"t\":\"2026-06-01T20:02:00+08:00\"}");
    shows("t:time6@+08:00!utc", "1a0601140200", "{\"t\":\"2026-06-01T12:02:00Z\"}");
    both_ways("t:bcdtime@-04:30", "260601200200", "{\"t\":\"2026-06-01T20:02:00-04:30\"}");
    both_ways("a:unix32be b:unixms64le", "6a1d7438 ff5f7d859e010000",
              "{\"a\":\"2026-06-01T11:59:52Z\",\"b\":\"2026-06-01T23:20:46.847Z\"}");
    shows("t:time6!raw", "000000000000", "{\"t_raw\":\"000000000000\"}");
    shows("t:time6", "000000000000", "{}");
    shows("t:time6 x:u8", "1a0d01000000 01", "{\"t_raw\":\"1a0d01000000\",\"x\":1}");
    shows("t:bcdtime", "2602290a0000", "{\"t_raw\":\"2602290a0000\"}");
    shows("t:time6", "18021d000000", "{\"t\":\"2024-02-29T00:00:00Z\"}");
    shows("t:time6", "1a021d000000", "{\"t_raw\":\"1a021d000000\"}");
}

static void a_zone_may_be_known_only_when_decoding(void **state)
{
    (void)state;
    tg_layout *l = compiled("t:time6 u:time6@utc v:time6!utc");
    char bytes[18];
    unhex("1a0601140200 1a0601140200 1a0601140200", bytes);
    tg_tape *t = tg_tape_new();
    tg_buf out = {0};
    size_t next;
    tg_slice s = {bytes, sizeof(bytes)};
    assert_int_equal(
        tg_layout_decode(l, s, 0, &(tg_decode_how){.zone = 480}, t, &next, NULL), 0);
    tg_tape_json(l, t, s, &out);
    tg_buf_putc(&out, 0);
    assert_string_equal(out.at,
                        "{\"t\":\"2026-06-01T20:02:00+08:00\","
                        "\"u\":\"2026-06-01T20:02:00Z\",\"v\":\"2026-06-01T12:02:00Z\"}");
    tg_buf_free(&out);
    tg_tape_free(t);
    tg_layout_unref(l);
}

static void records_and_lists_nest(void **state)
{
    (void)state;
    both_ways("pos:{ lat:u8 lon:u8 } n:u8 cells:[n]{ lac:u16be id:u24be } x:u8",
              "01 02 02 0001000002 0003000004 09",
              "{\"pos\":{\"lat\":1,\"lon\":2},\"n\":2,\"cells\":[{\"lac\":1,\"id\":2},"
              "{\"lac\":3,\"id\":4}],\"x\":9}");
    both_ways("t:[u8]u8-40 w:[*]u16be", "02 28 29 0001 0002", "{\"t\":[0,1],\"w\":[1,2]}");
    both_ways("m:[2][2]u8", "01020304", "{\"m\":[[1,2],[3,4]]}");
    both_ways("_n:u8 e:[_n]hex[4]", "02 12345678 9abcdef0",
              "{\"e\":[\"12345678\",\"9abcdef0\"]}");
    both_ways("b:sized[u8][*]u16be x:u8", "04 0001 0002 07", "{\"b\":[1,2],\"x\":7}");
    both_ways("l:sized[u8]{ a:u8 b?:u8 } x:u8", "01 05 07", "{\"l\":{\"a\":5},\"x\":7}");
    shows("l:sized[u8]{ a:u8 } x:u8", "00 07", "{\"x\":7}");
    shows("l:sized[u8]{ a:u8 } x:u8", "03 050607 09",
          "{\"l\":{\"a\":5},\"l_tail\":\"0607\",\"x\":9}");
    shows("e:[*]{ v:u8?0xFF }", "01ff", "{\"e\":[{\"v\":1},{}]}");
    shows("e:[*]u8?0xFF", "01ff", "{\"e\":[1,null]}");
}

static void optional_and_conditional_fields(void **state)
{
    (void)state;
    const char *tail = "a:u8 b?:u16be _?:{ c:u8 d:u8 } r:rest";
    both_ways(tail, "01", "{\"a\":1}");
    both_ways(tail, "01 0002 0304", "{\"a\":1,\"b\":2,\"c\":3,\"d\":4}");
    shows(tail, "01 0002 03", "{\"a\":1,\"b\":2,\"r\":\"03\"}");
    shows(tail, "01 02", "{\"a\":1,\"r\":\"02\"}");
    const char *cond = "f:u8 t:bcdtime if f&1 v:u16be if f&2 and f!=7 w:u8";
    both_ways(cond, "00 09", "{\"f\":0,\"w\":9}");
    both_ways(cond, "03 260601200200 0064 09",
              "{\"f\":3,\"t\":\"2026-06-01T20:02:00Z\",\"v\":100,\"w\":9}");
    both_ways("k:u8 v:u8 if k=1 v:ascii[2] if k=2", "02 6869", "{\"k\":2,\"v\":\"hi\"}");
    both_ways("_:u8(has:flag _:7) v:u8 if has=1", "00", "{\"has\":false}");
    both_ways("n:u8 v:[n]u8 if n<254 k:u8", "fe 07", "{\"n\":254,\"k\":7}");
    both_ways("n:u8 v:[n]{a:u8} if n<254 k:u8", "01 02 07",
              "{\"n\":1,\"v\":[{\"a\":2}],\"k\":7}");
    both_ways("n:u8 v:sized[n]u16be if n=2", "03", "{\"n\":3}");
    both_ways("_:u8(known:flag acc:flag if known=1 _:6)", "01",
              "{\"known\":true,\"acc\":false}");
    shows("_:u8(known:flag acc:flag if known=1 _:6)", "02", "{\"known\":false}");
    shows("_:sized[*-1]{ a:u8 t?:hex[*] } x:u8", "0102", "{\"a\":1,\"x\":2}");
    both_ways("a:u8 t?:hex[*-1] x:u8", "01 02", "{\"a\":1,\"x\":2}");
    shows("k:u8 p:{ n?:u8 } q:u8 if k!&1", "02 05 06", "{\"k\":2,\"p\":{\"n\":5},\"q\":6}");
}

static void constants_must_match(void **state)
{
    (void)state;
    both_ways("_m:u16be=0x7878 a:u8", "7878 01", "{\"a\":1}");
    ends_early("m:u8=0x23 a:u8", "24 01", "{\"m\":36}", "m: 0x24, expected 0x23");
}

static void bytes_that_end_too_early_leave_what_was_whole(void **state)
{
    (void)state;
    ends_early("a:u8 p:{ b:u16be c:u32be }", "01 0002 0304", "{\"a\":1,\"p\":{\"b\":2}}",
               "p.c: needs 4 bytes at 3, 2 are left");
    ends_early("_n:u8 w:[_n]{ m:hex[2] s:u8 }", "09 aabb01 cc",
               "{\"w\":[{\"m\":\"aabb\",\"s\":1},{}]}",
               "w.m: needs 2 bytes at 4, 1 are left");
    ends_early("t:ascii[u8]", "05 6162", "{}", "t: needs 5 bytes at 1, 2 are left");
    ends_early("t:utf8[z]", "6162", "{}", "t: no zero byte ends it");
    ends_early("_n:u8 t:hex[_n-2]", "01", "{}", "t: its size is below 0");
    ends_early("s:sized[u16be]{ a:u8 }", "0009 01", "{}",
               "s: needs 9 bytes at 2, 1 are left");
}

static void names_twice_only_under_conditions(void **state)
{
    (void)state;
    refuses("a:u8 a:u8",
            "line 1, column 6: 'a' is there twice; only fields with 'if' may be");
    refuses("a:u8 _:{ a:u8 }",
            "line 1, column 10: 'a' is there twice; only fields with 'if' may be");
    tg_layout_unref(compiled("a:u8 b:{ a:u8 } c:[2]{ a:u8 }"));
}

static void wrong_texts_say_where_and_what(void **state)
{
    (void)state;
    refuses("a:u61be",
            "line 1, column 3: expected a type, found 'u61be'; did you mean 'u16be'?");
    refuses("a:u16", "line 1, column 3: 'u16' needs its order: u16be or u16le");
    refuses("a:u8\n  b;u8", "line 2, column 4: a character that means nothing here");
    refuses("a:u8 b", "line 1, column 7: expected ':', found the end");
    refuses("n:ascii[m]", "line 1, column 9: no field 'm' before this one");
    refuses("n:ascii[2] t:hex[n]", "line 1, column 18: 'n' is no integer");
    refuses("a:[4]rest", "line 1, column 3: an element may have no bytes at all");
    refuses("a:u8(b:9)", "line 1, column 6: more bits than the number has");
    refuses("a:u8{1=x 1=y}", "line 1, column 12: a second word for the same value");
    refuses("a:u8 minus b=1", "line 1, column 12: no field 'b' beside this one");
    refuses("a:{ b:u8", "line 1, column 9: expected '}', found the end");
    refuses("a:u8 if:u8", "line 1, column 8: expected the name of a field, found ':'");
    refuses("set:u8", "line 1, column 1: 'set' is a word of the language");
    refuses("a:u8 \"km", "line 1, column 6: a text without its closing quote");
    refuses("a:u8*0", "line 1, column 6: expected a number above 0, found '0'");
    refuses("a:tlv(u8 u64be){}",
            "line 1, column 10: expected an unsigned type of 1 to 4 bytes, found 'u64be'");
    char deep[200] = "";
    for (int i = 0; i < 17; i++)
        strcat(deep, "a:{");
    refuses(deep, "line 1, column 51: nested deeper than 16 levels");
}

static void what_makes_no_value_goes_back_by_its_raw_form(void **state)
{
    (void)state;
    both_ways("a:u16be in 0..360 b:u8", "0169 01", "{\"a_raw\":361,\"b\":1}");
    both_ways("t:bcdtime x:u8", "999999999999 01", "{\"t_raw\":\"999999999999\",\"x\":1}");
    both_ways("g:gbk[u8] x:u8", "03 ff4142 01",
              "{\"g\":\"�AB\",\"g_raw\":\"ff4142\",\"x\":1}");
    both_ways("f:f32be", "7fc00000", "{\"f_raw\":\"7fc00000\"}");
    both_ways("_:u16be(a:9 in 0..360 b:7)", "0969", "{\"a_raw\":361,\"b\":4}");
    will_not_encode("a:u8", "{\"a_raw\":256}", "a: 256 is outside 0..255 on the wire");
    will_not_encode("a:u8", "{\"a_raw\":\"x\"}", "a: its raw form is no number");
    will_not_encode("t:bcdtime", "{\"t_raw\":\"00\"}", "t: its raw form has another size");
}

static void tags_that_did_not_fit_or_came_again_go_back(void **state)
{
    (void)state;
    const char *text = "l:tlv(u8 u8){ 0x01 a:u16be 0x02 b:{ c:u8 } }";
    both_ways(text, "01 01 05  02 01 07  02 01 08  02 02 0102  f0 01 01  f0 01 02  09",
              "{\"l\":{\"a_raw\":\"05\",\"b\":{\"c\":7},\"b_2\":{\"c\":8},"
              "\"b_raw_3\":\"0102\",\"0xf0\":\"01\",\"0xf0_2\":\"02\",\"tail\":\"09\"}}");
    both_ways(text, "01 02 0001  01 02 0002", "{\"l\":{\"a\":1,\"a_2\":2}}");
    will_not_encode(text, "{\"l\":{\"0xfff\":\"00\"}}", "l: a key is no tag");
}

static void encoding_names_the_field_that_is_wrong(void **state)
{
    (void)state;
    will_not_encode("speed:u8", "{\"speed\":300}",
                    "speed: 300 is outside 0..255 on the wire");
    will_not_encode("p:{ v:i8*0.1 }", "{\"p\":{\"v\":-12.9}}",
                    "p.v: -12.9 is outside -128..127 on the wire");
    will_not_encode("a:u8", "{}", "a: is missing");
    will_not_encode("a:u8", "{\"a\":1.5}", "a: is no integer");
    will_not_encode("a:u8{1=x}", "{\"a\":\"y\"}", "a: no value is called 'y'");
    will_not_encode("f:u8 set{0=a}", "{\"f\":[\"a\",7]}",
                    "f: has a member that is no name");
    will_not_encode("f:u8 set{0=a}", "{\"f\":[\"bit8\"]}", "f: no value is called 'bit8'");
    will_not_encode("a:ascii[2]", "{\"a\":\"abc\"}", "a: is longer than its room");
    will_not_encode("a:ascii[3]", "{\"a\":\"é\"}",
                    "a: has characters that its charset has not");
    will_not_encode("a:bcd[1]", "{\"a\":\"123\"}", "a: has more digits than room");
    will_not_encode("n:u8 l:[n]u8", "{\"n\":3,\"l\":[1]}",
                    "l: its count says something else");
    will_not_encode("l:[2]u8", "{\"l\":[1]}", "l: has not the number that is declared");
    will_not_encode("t:time6", "{\"t\":\"yesterday\"}",
                    "t: is no time: neither ISO 8601 nor milliseconds");
    will_not_encode("a:u8 in 1..5", "{\"a\":6}", "a: 6 is outside 1..5 on the wire");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_of_every_width_and_order),
        cmocka_unit_test(scales_are_exact),
        cmocka_unit_test(sentinels_and_enums_have_words),
        cmocka_unit_test(bits_count_from_the_lowest),
        cmocka_unit_test(a_sign_may_stand_in_a_later_bit),
        cmocka_unit_test(bytes_and_texts),
        cmocka_unit_test(times),
        cmocka_unit_test(a_zone_may_be_known_only_when_decoding),
        cmocka_unit_test(records_and_lists_nest),
        cmocka_unit_test(optional_and_conditional_fields),
        cmocka_unit_test(constants_must_match),
        cmocka_unit_test(bytes_that_end_too_early_leave_what_was_whole),
        cmocka_unit_test(names_twice_only_under_conditions),
        cmocka_unit_test(wrong_texts_say_where_and_what),
        cmocka_unit_test(what_makes_no_value_goes_back_by_its_raw_form),
        cmocka_unit_test(tags_that_did_not_fit_or_came_again_go_back),
        cmocka_unit_test(encoding_names_the_field_that_is_wrong),
    };
    return RUN(tests);
}
