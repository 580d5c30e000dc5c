// SPDX-License-Identifier: Apache-2.0
// A shared object that is no plugin.
#include "tidegate.h"

TG_API const int something_else = 1;
