// SPDX-License-Identifier: Apache-2.0
// One flat switch per question, made from the table: the compiler turns each into a jump or a
// lookup, and a code that is not in the table has no entry anywhere.
#include "reason.h"

const char *mqtt_reason_text(uint8_t reason)
{
    switch (reason) {
#define X(name, code, packets, v3, error, text)                                            \
    case code:                                                                             \
        return text;
        MQTT_REASONS(X)
#undef X
    default:
        return "unknown reason";
    }
}

int mqtt_reason_index(uint8_t reason)
{
    switch (reason) {
#define X(name, code, packets, v3, error, text)                                            \
    case code:                                                                             \
        return MQTT_I_##name;
        MQTT_REASONS(X)
#undef X
    default:
        return -1;
    }
}

bool mqtt_reason_allowed(uint8_t reason, uint8_t type)
{
    switch (reason) {
#define X(name, code, packets, v3, error, text)                                            \
    case code:                                                                             \
        return ((packets) >> type & 1) != 0;
        MQTT_REASONS(X)
#undef X
    default:
        return false;
    }
}

uint8_t mqtt_reason_v3(uint8_t reason)
{
    switch (reason) {
#define X(name, code, packets, v3, error, text)                                            \
    case code:                                                                             \
        return v3;
        MQTT_REASONS(X)
#undef X
    default:
        return 3;
    }
}

int mqtt_reason_error(uint8_t reason)
{
    switch (reason) {
#define X(name, code, packets, v3, error, text)                                            \
    case code:                                                                             \
        return TG_E_##error;
        MQTT_REASONS(X)
#undef X
    default:
        return TG_E_PROTOCOL;
    }
}
