// SPDX-License-Identifier: Apache-2.0
// Has no load(), and imports a symbol that a test can spoil.
#include <unistd.h>

#include "tidegate.h"

static void unload(void)
{
    (void)getppid();
}

TG_PLUGIN(.id = "no-load", .version = "1.0.0", .life = {.unload = unload});
