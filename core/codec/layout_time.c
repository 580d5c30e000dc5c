// SPDX-License-Identifier: Apache-2.0
// Dates without libc: its calendar asks for the host's zone, takes locks and knows no offsets.
// Days are counted in years that begin in March, so that the leap day is a year's last.
#include <stdio.h>

#include "codec/layout_program.h"

#define DAY_MS INT64_C(86400000)

int64_t tg_days_from_date(int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

void tg_date_from_days(int64_t days, int64_t *year, unsigned *month, unsigned *day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t of_era = days - era * 146097;
    int64_t y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * y + y / 4 - y / 100);
    int64_t m = (5 * of_year + 2) / 153;
    *day = (unsigned)(of_year - (153 * m + 2) / 5 + 1);
    *month = (unsigned)(m < 10 ? m + 3 : m - 9);
    *year = y + era * 400 + (*month <= 2);
}

static bool leap(int year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

bool tg_ms_from_clock(int year, unsigned month, unsigned day, unsigned hour,
                      unsigned minute, unsigned second, int zone, int64_t *ms)
{
    static const uint8_t days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (month < 1 || month > 12 || day < 1 || day > days[month - 1] || hour > 23 ||
        minute > 59 || second > 59 || (month == 2 && day == 29 && !leap(year)))
        return false;
    int64_t clock = hour * 3600 + minute * 60 + second;
    *ms =
        tg_days_from_date(year, month, day) * DAY_MS + clock * 1000 - zone * INT64_C(60000);
    return true;
}

static char *two(char *to, unsigned n, char behind)
{
    *to++ = (char)('0' + n / 10);
    *to++ = (char)('0' + n % 10);
    *to++ = behind;
    return to;
}

static char *put_zone(char *to, int zone)
{
    if (zone == 0) {
        *to++ = 'Z';
        return to;
    }
    unsigned off = (unsigned)(zone < 0 ? -zone : zone);
    *to++ = zone < 0 ? '-' : '+';
    to = two(to, off / 60 % 100, ':');
    return two(to, off % 60, 0) - 1;
}

size_t tg_iso_write(int64_t ms, int zone, char *to)
{
    char *start = to;
    const int64_t farthest = INT64_C(253402300799999); // the end of year 9999
    if (ms > farthest || ms < -INT64_C(62135596800000))
        ms = ms > 0 ? farthest : -INT64_C(62135596800000);
    int64_t local = ms + zone * INT64_C(60000), year;
    int64_t days = (local >= 0 ? local : local - (DAY_MS - 1)) / DAY_MS;
    unsigned month, day, rest = (unsigned)(local - days * DAY_MS), second = rest / 1000;
    tg_date_from_days(days, &year, &month, &day);
    if (year < 0)
        year = 0;
    *to++ = (char)('0' + year / 1000 % 10);
    *to++ = (char)('0' + year / 100 % 10);
    to = two(to, (unsigned)(year % 100), '-');
    to = two(to, month, '-');
    to = two(to, day, 'T');
    to = two(to, second / 3600, ':');
    to = two(to, second / 60 % 60, ':');
    to = two(to, second % 60, '.');
    if (rest % 1000 == 0)
        to--;
    else
        to += sprintf(to, "%03u", rest % 1000);
    return (size_t)(put_zone(to, zone) - start);
}

/// Exactly `n` digits. @return what is behind them, NULL if they are not there.
static const char *digits(const char *at, const char *end, int n, int *out)
{
    *out = 0;
    for (; n > 0; n--, at++) {
        if (at == end || *at < '0' || *at > '9')
            return NULL;
        *out = *out * 10 + (*at - '0');
    }
    return at;
}

static const char *mark(const char *at, const char *end, const char *any)
{
    return at != NULL && at < end && *at != '\0' && strchr(any, *at) != NULL ? at + 1
                                                                             : NULL;
}

static const char *field(const char *at, const char *end, const char *before, int n,
                         int *out)
{
    at = mark(at, end, before);
    return at != NULL ? digits(at, end, n, out) : NULL;
}

static const char *fraction(const char *at, const char *end, int *ms)
{
    int unit = 100;
    *ms = 0;
    if (mark(at, end, ".,") == NULL)
        return at;
    for (at++; at < end && *at >= '0' && *at <= '9'; at++, unit /= 10)
        *ms += unit * (*at - '0');
    return at;
}

static const char *offset(const char *at, const char *end, int *zone)
{
    int hours, minutes;
    if (at == end)
        return at;
    if (*at == 'Z' || *at == 'z') {
        *zone = 0;
        return at + 1;
    }
    int sign = *at == '-' ? -1 : 1;
    const char *p = field(at, end, "+-", 2, &hours);
    if (p == NULL)
        return NULL;
    p = p < end && *p == ':' ? p + 1 : p;
    p = digits(p, end, 2, &minutes);
    if (p == NULL || hours > 14 || minutes > 59)
        return NULL;
    *zone = sign * (hours * 60 + minutes);
    return p;
}

int tg_iso_read(tg_slice text, int64_t *ms, int *zone)
{
    int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, milli = 0;
    int off = *zone;
    const char *end = text.at + text.len, *p = digits(text.at, end, 4, &year);
    p = p != NULL ? field(p, end, "-", 2, &month) : NULL;
    p = p != NULL ? field(p, end, "-", 2, &day) : NULL;
    p = p != NULL ? field(p, end, "T t", 2, &hour) : NULL;
    p = p != NULL ? field(p, end, ":", 2, &minute) : NULL;
    p = p != NULL ? field(p, end, ":", 2, &second) : NULL;
    p = p != NULL ? fraction(p, end, &milli) : NULL;
    p = p != NULL ? offset(p, end, &off) : NULL;
    if (p != end || !tg_ms_from_clock(year, (unsigned)month, (unsigned)day, (unsigned)hour,
                                      (unsigned)minute, (unsigned)second, off, ms))
        return TG_E_MALFORMED;
    *ms += milli;
    *zone = off;
    return 0;
}
