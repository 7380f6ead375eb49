// SPDX-License-Identifier: Apache-2.0
//
// Loaded before a server (node --require): what it would do every few seconds it does all the time. So a watchdog that
// takes its client for dead ends it at once, not after the test.
const set = global.setInterval;
global.setInterval = (task, ms, ...rest) => set(task, ms >= 1000 ? 1 : ms, ...rest);
