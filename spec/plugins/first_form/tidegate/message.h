// SPDX-License-Identifier: Apache-2.0
/// Messages: immutable and reference-counted, shared by every receiver of a fan-out.
/// A `tg_msg` belongs to one worker; its count is plain, and only the payload block behind it
/// is counted atomically, once per worker. The host moves messages between workers itself.
#ifndef TIDEGATE_MESSAGE_H
#define TIDEGATE_MESSAGE_H

#include "types.h"

/// What can be read of a message. Only the host makes one; it grows at the end.
typedef struct tg_message {
    uint32_t size;
    uint8_t qos; ///< 0, 1 or 2, as published
    uint8_t retain; ///< published with the retain flag
    uint16_t flags; ///< TG_MSG_*
    tg_slice topic;
    tg_slice payload;
    /// MQTT 5.0 §2.2.2 encoding, without a length in front, of the properties that travel with
    /// a message: payload format, content type, response topic, correlation data, user
    /// properties. Never message expiry, topic alias or subscription identifiers.
    tg_slice props;
    tg_slice publisher; ///< client id; empty for the host itself
    uint64_t created; ///< ms since the epoch, when it was published
    uint64_t expires; ///< ms since the epoch; 0 never
    uint64_t origin; ///< session that published it (no-local); 0 none
} tg_message;

typedef const tg_message *tg_msg;

/// What a message is made from. Everything is copied.
typedef struct tg_msg_spec {
    uint32_t size;
    uint8_t qos;
    uint8_t retain;
    uint16_t flags;
    tg_slice topic;
    tg_slice payload;
    tg_slice props;
    tg_slice publisher;
    uint32_t expiry_s; ///< 0 none
} tg_msg_spec;

/// A message on its way to the adapter that holds the session.
typedef struct tg_delivery {
    uint32_t size;
    uint8_t qos;
    uint8_t retain; ///< the flag to show the receiver
    uint8_t dup; ///< sent before on an earlier connection
    uint8_t released; ///< QoS 2: the receiver has it (PUBREC); only the release is due
    uint16_t packet_id; ///< QoS above 0: the window's number for it; 0 with QoS 0
    uint16_t nsub_ids; ///< subscription identifiers that matched
    const uint32_t *sub_ids; ///< borrowed
    tg_msg msg;
    uint32_t expiry_s; ///< what is left of the message's life; 0 no limit
} tg_delivery;

typedef struct tg_msg_api {
    uint32_t size;

    /// @owner the caller owns one reference of the result. @return NULL when out of memory.
    tg_msg (*new)(const tg_msg_spec *spec);
    tg_msg (*ref)(tg_msg m);
    void (*unref)(tg_msg m);

    /// One encoded form per `variant` (a number of the adapter's own choosing, below 8) is
    /// kept with the message on this worker, so that a fan-out encodes once.
    /// @return the stored bytes, empty when there are none yet.
    tg_slice (*encoded)(tg_msg m, const void *owner, unsigned variant);
    /// @owner copies `bytes`. @return what is stored now; empty when it could not be kept.
    tg_slice (*set_encoded)(tg_msg m, const void *owner, unsigned variant, tg_slice bytes);
} tg_msg_api;

#endif
