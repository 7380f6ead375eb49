#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
//
// Node's EventEmitter: emit() calls every listener before it returns, so a burst is over when the last emit() is.
'use strict';
const { EventEmitter } = require('node:events');
const fs = require('node:fs');

function wrong(what) {
  console.error(what);
  process.exit(1);
}

function broadcast(burst, listeners, ops) {
  const bursts = Math.max(1, Math.floor(ops / (burst * listeners)));
  const emitter = new EventEmitter();
  emitter.setMaxListeners(0);
  const next = new Array(listeners).fill(0);
  for (let index = 0; index < listeners; ++index) {
    emitter.on('event', (message) => {
      if (message.sequence !== next[index]++) wrong('an event is lost or out of order');
    });
  }
  const padding = new Uint8Array(48);
  const cpu = process.cpuUsage();
  const start = process.hrtime.bigint();
  for (let i = 0; i < bursts; ++i) {
    for (let k = 0; k < burst; ++k) emitter.emit('event', { sender: 0, sequence: i * burst + k, padding });
  }
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  const used = process.cpuUsage(cpu);
  if (next.some((count) => count !== bursts * burst)) wrong('an event is lost');
  return { ops: bursts * burst * listeners, seconds, cpu_seconds: (used.user + used.system) / 1e6 };
}

const workloads = new Map();
for (const burst of [256, 1]) {
  for (const listeners of [1, 10, 100, 1000]) {
    workloads.set(`broadcast.burst${burst}.${listeners}.ct`, (ops) => broadcast(burst, listeners, ops));
  }
}

const [name, ops] = process.argv.slice(2);
if (name === '--list') {
  for (const workload of workloads.keys()) console.log(`${workload}\tEventEmitter: synchronous, one thread, no queue`);
} else {
  const run = workloads.get(name) ?? wrong('no such workload');
  run(Math.ceil(Number(ops) / 10));
  const result = run(Number(ops));
  result.max_rss_kib = Number(/VmHWM:\s*(\d+)/.exec(fs.readFileSync('/proc/self/status', 'utf8'))[1]);
  console.log(JSON.stringify(result));
}
