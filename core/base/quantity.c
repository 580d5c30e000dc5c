// SPDX-License-Identifier: Apache-2.0
// A number and a unit, nothing between them; fractions are allowed where they come out whole
// enough ("1.5h"). Parsed by hand: strtod would take "inf", "0x10" and leading blanks.
#include "base/quantity.h"

#include <inttypes.h>

#include "base/options.h"

#define QUANTITY_MAX                                                                       \
    INT64_C(9007199254740992) // 2^53: exact as a double, and in Lua and JSON

typedef struct unit {
    const char *name;
    int64_t scale;
} unit;

static const unit durations[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {"", 1000},
};
static const unit sizes[] = {
    {"B", 1},         {"KiB", 1 << 10},          {"MiB", 1 << 20},
    {"GiB", 1 << 30}, {"TiB", INT64_C(1) << 40}, {"", 1},
};

// Takes "12" or "1.5" off the front. @return how many bytes it is long, 0 for no number.
static size_t take_number(tg_slice text, double *out)
{
    double n = 0, unit_of = 1;
    size_t i = 0, digits = 0;
    bool fraction = false;
    for (; i < text.len; i++) {
        char c = text.at[i];
        if (c == '.' && !fraction && digits > 0) {
            fraction = true;
            continue;
        }
        if (c < '0' || c > '9')
            break;
        digits++;
        n = n * 10 + (c - '0');
        unit_of *= fraction ? 10 : 1;
    }
    if (digits == 0 || digits > 18 || text.at[i - 1] == '.')
        return 0;
    *out = n / unit_of;
    return i;
}

static int64_t parse(tg_slice text, const unit *units, size_t n)
{
    double number;
    size_t used = take_number(text, &number);
    if (used == 0)
        return TG_E_INVAL;
    tg_slice name = {text.at + used, text.len - used};
    for (size_t i = 0; i < n; i++) {
        if (!tg_slice_eq(name, tg_str(units[i].name)))
            continue;
        double all = number * (double)units[i].scale;
        return all > (double)QUANTITY_MAX ? TG_E_INVAL : (int64_t)(all + 0.5);
    }
    return TG_E_INVAL;
}

int64_t tg_parse_duration(tg_slice text)
{
    return parse(text, durations, sizeof(durations) / sizeof(*durations));
}

int64_t tg_parse_size(tg_slice text)
{
    return parse(text, sizes, sizeof(sizes) / sizeof(*sizes));
}

int64_t tg_seconds_to_ms(double seconds)
{
    bool fits = seconds >= 0 && seconds * 1000 <= (double)QUANTITY_MAX; // false for NaN
    return fits ? (int64_t)(seconds * 1000 + 0.5) : TG_E_INVAL;
}

static void put(tg_buf *b, int64_t n, const unit *units, size_t count)
{
    size_t i = count - 1; // the last one has no name
    while (i-- > 1)
        if (n % units[i].scale == 0 && n != 0)
            break;
    tg_buf_printf(b, "%" PRId64 "%s", n / units[i].scale, units[i].name);
}

void tg_put_duration(tg_buf *b, int64_t ms)
{
    put(b, ms, durations, sizeof(durations) / sizeof(*durations));
}

void tg_put_size(tg_buf *b, int64_t bytes)
{
    put(b, bytes, sizes, sizeof(sizes) / sizeof(*sizes));
}
