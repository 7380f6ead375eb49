/* SPDX-License-Identifier: Apache-2.0 */
__attribute__((visibility("default"))) int beside_says(void);
int beside_says(void) { return 42; }
