// SPDX-License-Identifier: Apache-2.0
// Errors are counted by what they say: a storm of ten thousand refusals is one line.
#include <stdarg.h>
#include <stdio.h>

#include "load/engine.h"

void tg_load_errors_add(tg_load_errors *e, const char *text, uint64_t n)
{
    unsigned i = 0;
    while (i + 1 < TG_LOAD_KINDS && e->kinds[i].count > 0 &&
           strcmp(e->kinds[i].text, text) != 0)
        i++;
    bool rest = i + 1 == TG_LOAD_KINDS;
    snprintf(e->kinds[i].text, sizeof(e->kinds[i].text), "%s", rest ? "others" : text);
    e->kinds[i].count += n;
    e->count += n;
}

void tg_crew_error(tg_crew *c, const char *fmt, ...)
{
    char text[sizeof(c->errors.kinds[0].text)];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    tg_load_errors_add(&c->errors, text, 1);
}

typedef struct reason {
    unsigned code;
    const char *text;
} reason;

static const reason old_reasons[] = {
    {1, "protocol version not supported"},
    {2, "client id not accepted"},
    {3, "server unavailable"},
    {4, "bad user or password"},
    {5, "not authorized"},
    {0x80, "failure"},
    {0, NULL},
};

static const reason reasons[] = {
    {0x80, "unspecified error"},
    {0x81, "malformed packet"},
    {0x82, "protocol error"},
    {0x83, "implementation specific error"},
    {0x84, "protocol version not supported"},
    {0x85, "client id not accepted"},
    {0x86, "bad user or password"},
    {0x87, "not authorized"},
    {0x88, "server unavailable"},
    {0x89, "server busy"},
    {0x8a, "banned"},
    {0x8b, "server shutting down"},
    {0x8d, "keep alive timeout"},
    {0x8e, "session taken over"},
    {0x8f, "topic filter invalid"},
    {0x90, "topic name invalid"},
    {0x91, "packet id in use"},
    {0x93, "receive maximum exceeded"},
    {0x95, "packet too large"},
    {0x96, "message rate too high"},
    {0x97, "quota exceeded"},
    {0x98, "administrative action"},
    {0x9a, "retain not supported"},
    {0x9b, "QoS not supported"},
    {0x9e, "shared subscriptions not supported"},
    {0x9f, "connection rate exceeded"},
    {0xa2, "wildcard subscriptions not supported"},
    {0, NULL},
};

const char *tg_reason_text(unsigned version, unsigned code)
{
    const reason *r = version == TG_WIRE_V5 ? reasons : old_reasons;
    for (; r->text != NULL; r++)
        if (r->code == code)
            return r->text;
    return "a code that is none";
}
