// SPDX-License-Identifier: Apache-2.0
// Names of uploaded files. They are made of devices' bytes, so they are escaped into a small
// set of characters, in which nothing leads out of a folder or hides in it.
#include <openssl/sha.h>

#include "plugin/files.h"

#define NAME_MAX_LEN 120u // of a part; longer ones are cut
#define NAME_CUT 80u
#define EXTENSION_MAX 12u

static bool is_plain(unsigned char c, bool first)
{
    bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                (c >= '0' && c <= '9') || c == '_';
    return word || (!first && (c == '-' || c == '.'));
}

static void put_escaped(tg_buf *b, tg_slice part)
{
    for (size_t i = 0; i < part.len; i++) {
        unsigned char c = (unsigned char)part.at[i];
        if (is_plain(c, i == 0))
            tg_buf_putc(b, (char)c);
        else
            tg_buf_printf(b, "%%%02X", c);
    }
}

tg_slice tg_file_extension(tg_slice name)
{
    for (size_t n = 1; n <= EXTENSION_MAX && n < name.len; n++)
        if (name.at[name.len - n] == '.')
            return (tg_slice){name.at + name.len - n, n};
    return (tg_slice){0};
}

/// A hash keeps apart what is cut; no escaped name has a '~'.
static void put_part(tg_buf *b, tg_slice part)
{
    size_t from = b->len;
    put_escaped(b, part);
    if (b->failed || b->len - from <= NAME_MAX_LEN)
        return;
    unsigned char hash[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)part.at, part.len, hash);
    b->len = from + NAME_CUT;
    tg_buf_putc(b, '~');
    for (int i = 0; i < 8; i++)
        tg_buf_printf(b, "%02x", hash[i]);
    tg_slice end = tg_file_extension(part);
    if (end.len > 1) {
        tg_buf_putc(b, '.');
        put_escaped(b, (tg_slice){end.at + 1, end.len - 1});
    }
}

int tg_files_path(const char *plugin, const tg_file_spec *spec, tg_buf *out)
{
    if (spec->parts == NULL || spec->nparts < 2 || spec->nparts > TG_FILE_PARTS)
        return TG_E_INVAL;
    put_part(out, tg_str(plugin));
    for (uint32_t i = 0; i < spec->nparts; i++) {
        if (spec->parts[i].len == 0)
            return TG_E_INVAL;
        tg_buf_putc(out, '/');
        put_part(out, spec->parts[i]);
    }
    return out->failed ? TG_E_NOMEM : 0;
}
