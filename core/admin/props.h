// SPDX-License-Identifier: Apache-2.0
/// The properties that travel with a message (MQTT 5.0 §2.2.2), as REST shows and takes them.
#ifndef TG_ADMIN_PROPS_H
#define TG_ADMIN_PROPS_H

#include "base/buf.h"

enum {
    TG_PROP_FORMAT = 0x01,
    TG_PROP_CONTENT_TYPE = 0x03,
    TG_PROP_RESPONSE_TOPIC = 0x08,
    TG_PROP_CORRELATION = 0x09,
    TG_PROP_USER = 0x26,
};

/// Each writes nothing for an empty value. @return false: too long, or no string.
bool tg_prop_put(tg_buf *b, uint8_t id, tg_slice text);
bool tg_prop_put_user(tg_buf *b, const tg_value *map);
/// Members of an object: content_type, response_topic, correlation, user_properties (a list of
/// [name, value], since names repeat). Stops at what it does not know.
void tg_props_json(tg_buf *b, tg_slice props);

#endif
