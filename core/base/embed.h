// SPDX-License-Identifier: Apache-2.0
/// Files that the program carries, so that there is nothing to find at run time. The assembler
/// reads them: paths are from the tree's root, where the compiler runs, and the Makefile names
/// them as what the source depends on.
#ifndef TG_BASE_EMBED_H
#define TG_BASE_EMBED_H

/// A text with a 0 behind it, as `symbol`.
#define TG_EMBED(symbol, file)                                                             \
    __asm__(".section .rodata\n.local " #symbol "\n" #symbol ":\n.incbin \"" file          \
            "\"\n.byte 0\n.previous\n");                                                   \
    extern const char symbol[] __attribute__((visibility("hidden")))

#endif
