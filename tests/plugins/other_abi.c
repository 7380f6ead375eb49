/* SPDX-License-Identifier: Apache-2.0 */
#include <gantry/abi.h>

__attribute__((visibility("default")))
const gantry_entry_t gantry_entry = {GANTRY_MAGIC, GANTRY_ABI_MAJOR + 1, 0, sizeof(gantry_entry_t), 0, NULL, NULL};
