// SPDX-License-Identifier: Apache-2.0
#define PROBE_VERSION "2.0.0"
#define PROBE_MORE 700
#include "probe.c"
