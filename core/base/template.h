// SPDX-License-Identifier: Apache-2.0
/// Topic templates: "acme/${device}/${type}", taken apart once and filled in per message.
#ifndef TG_BASE_TEMPLATE_H
#define TG_BASE_TEMPLATE_H

#include "base/buf.h"
#include "base/error.h"
#include "base/value.h"

#define TG_TEMPLATE_PARTS 16

typedef struct tg_template_part {
    tg_slice text;
    bool name; ///< `text` is to be replaced
} tg_template_part;

typedef struct tg_template {
    uint32_t count;
    tg_template_part part[TG_TEMPLATE_PARTS];
} tg_template;

/// Copies what it keeps into `arena`. @return TG_E_INVAL.
int tg_template_parse(tg_slice text, tg_arena *arena, tg_template *out, tg_error *e);
/// Appends a value; what would change the topic's levels or make it a filter becomes '_'.
void tg_template_put(tg_buf *out, tg_slice value);
#define TG_TEMPLATE_DEVICE "${device}"
/// Appends `text` with the device in the places of TG_TEMPLATE_DEVICE; it has no other names.
void tg_template_device(tg_buf *out, tg_slice text, tg_slice device);

#endif
