// SPDX-License-Identifier: Apache-2.0
// Escaped frames are unescaped into memory that the worker has for it. This adapter dials one
// with much larger frames while it handles such a frame, then answers with what it was given.
#include "tidegate.h"

static int ignore(tg_conn c, void *state, tg_slice frame)
{
    (void)c;
    (void)state;
    (void)frame;
    return 0;
}

#define WRAPPED(most)                                                                      \
    {                                                                                      \
        .size = sizeof(tg_frame), .kind = TG_FRAME_ESCAPED, .escape = 0x7d, .nescapes = 2, \
        .escapes = {{0x01, 0x7d}, {0x02, 0x7e}}, .magic = {"\x7e", 1}, .max = (most)       \
    }

static const tg_frame large[] = {WRAPPED(4u << 20)};
static const tg_frame small[] = {WRAPPED(64)};

static const tg_adapter far_end = {.size = sizeof(tg_adapter),
                                   .transports = TG_TCP,
                                   .id = "wrapped-far",
                                   .nframes = 1,
                                   .frames = large,
                                   .on_frame = ignore};

static int on_frame(tg_conn c, void *state, tg_slice frame)
{
    (void)state;
    tg_dial to = {.size = sizeof(to), .host = TG_LIT("127.0.0.1"), .port = 1};
    tg_conn out;
    int rc = tg.conn->dial(&to, &far_end, &out);
    return rc < 0 ? rc : tg.conn->send(c, frame);
}

static const tg_adapter wrapped = {.size = sizeof(tg_adapter),
                                   .transports = TG_TCP,
                                   .id = "wrapped",
                                   .nframes = 1,
                                   .frames = small,
                                   .on_frame = on_frame};

static int load(const tg_host *host, tg_self *self)
{
    int rc = tg_env_init(&tg, host, self);
    return rc < 0 ? rc : tg.add->adapter(self, &wrapped, NULL, NULL);
}

TG_PLUGIN(.id = "wrapped", .version = "1.0.0", .capabilities = TG_CAP_ADAPTER,
          .life = {.load = load});
