// SPDX-License-Identifier: Apache-2.0
/// Layouts: a declared record compiled once into a program that decodes, encodes, explains and
/// documents it. Decoding writes a flat tape of items, which its reader turns into a table,
/// into JSON or into lines for people; there is no second description of the bytes.
/// The language is described in docs/layouts.md.
#ifndef TG_CODEC_LAYOUT_H
#define TG_CODEC_LAYOUT_H

#include "base/buf.h"
#include "base/error.h"

typedef struct tg_layout tg_layout; ///< immutable, shared by all threads
typedef struct tg_tape tg_tape;     ///< reused; one thread

#endif
