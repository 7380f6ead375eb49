/* SPDX-License-Identifier: Apache-2.0 */
#include <gantry/abi.h>

__attribute__((visibility("default")))
const gantry_entry_t gantry_entry = {GANTRY_MAGIC + 1, GANTRY_ABI_MAJOR, 0, sizeof(gantry_entry_t), 0, NULL, NULL};
