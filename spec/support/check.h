// SPDX-License-Identifier: Apache-2.0
/// What every C test includes: cmocka with its prerequisites.
#ifndef TG_SPEC_CHECK_H
#define TG_SPEC_CHECK_H

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#define RUN(tests) cmocka_run_group_tests(tests, NULL, NULL)

#endif
