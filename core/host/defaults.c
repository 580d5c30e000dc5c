// SPDX-License-Identifier: Apache-2.0
// What `tidegate run` does without a config file: the two adapters that come along, for
// everybody on this machine and nobody else.
#include "host/config.h"

#define STR(text)                                                                          \
    {                                                                                      \
        .kind = TG_STR, .string = {(text), sizeof(text) - 1 }                              \
    }
#define YES                                                                                \
    {                                                                                      \
        .kind = TG_BOOL, .boolean = true                                                   \
    }
#define KEY(text)                                                                          \
    {                                                                                      \
        (text), sizeof(text) - 1                                                           \
    }
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MAP(array)                                                                         \
    {                                                                                      \
        .kind = TG_MAP, .map = {(array), COUNT(array) }                                    \
    }
#define LIST(array)                                                                        \
    {                                                                                      \
        .kind = TG_LIST, .list = {(array), COUNT(array) }                                  \
    }

static const tg_pair MQTT[] = {
    {KEY("name"), STR("mqtt")},
    {KEY("adapter"), STR("mqtt")},
    {KEY("bind"), STR("127.0.0.1:1883")},
    {KEY("anonymous"), YES},
};

static const tg_pair GT06[] = {
    {KEY("name"), STR("gt06")},
    {KEY("adapter"), STR("gt06")},
    {KEY("bind"), STR("127.0.0.1:5023")},
    {KEY("anonymous"), YES},
};

static const tg_value LISTENERS[] = {MAP(MQTT), MAP(GT06)};

static const tg_pair PLUGINS[] = {
    {KEY("mqtt"), {.kind = TG_MAP}},
    {KEY("gt06"), {.kind = TG_MAP}},
};

static const tg_pair ROOT[] = {
    {KEY("plugins"), MAP(PLUGINS)},
    {KEY("listeners"), LIST(LISTENERS)},
};

const tg_value tg_config_builtin = MAP(ROOT);
