// SPDX-License-Identifier: Apache-2.0
//
// A language server that writes what a test tells: node raw_server.js LOG [--dies-at-shutdown] [--bom]
//
// LOG gets one JSON object a line: the headers and the text of each message that comes. `test/write` {frames: [text...]}
// writes each text as a frame, or with {bytes: text} as it stands, and answers null afterwards; `test/hang` waits for its
// cancellation; `test/die` ends the process; all else is answered with its params. --dies-at-shutdown: sends `exit` and
// ends instead of answering. --bom: a byte order mark is in front of all that it writes.
'use strict';
const fs = require('node:fs');
const [logFile, ...options] = process.argv.slice(2);
const log = fs.openSync(logFile, 'a');
const write = (text) => { for (let b = Buffer.from(text); b.length > 0;) b = b.subarray(fs.writeSync(1, b)); };
const frame = (text) => write(`Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`);
const answer = (id, rest) => frame(`{"jsonrpc":"2.0","id":${JSON.stringify(id)},${rest}}`);
if (options.includes('--bom')) write('\ufeff');

const hanging = new Map();
function take(text) {
  const { id, method, params } = JSON.parse(text);
  if (method === 'exit') process.exit(0);
  if (method === '$/cancelRequest') {
    if (hanging.delete(params.id)) answer(params.id, '"error":{"code":-32800,"message":"cancelled"}');
  } else if (method === undefined || id === undefined) {
    return;
  } else if (method === 'shutdown' && options.includes('--dies-at-shutdown')) {
    frame('{"jsonrpc":"2.0","method":"exit","params":null}');
    process.exit(0);
  } else if (method === 'initialize') {
    answer(id, '"result":{"capabilities":{}}');
  } else if (method === 'test/write') {
    for (const each of params.frames ?? []) frame(each.replaceAll('$ID', JSON.stringify(id)));
    if (params.bytes) write(params.bytes);
    if (!params.answered) answer(id, '"result":null');
  } else if (method === 'test/die') {
    process.exit(7);
  } else if (method === 'test/hang') {
    hanging.set(id, true);
  } else {
    answer(id, `"result":${JSON.stringify(params ?? null)}`);
  }
}

let held = Buffer.alloc(0);
process.stdin.on('data', (bytes) => {
  held = Buffer.concat([held, bytes]);
  for (let end; (end = held.indexOf('\r\n\r\n')) >= 0;) {
    const head = held.subarray(0, end).toString();
    const size = Number(/^Content-Length: (\d+)$/m.exec(head)[1]);
    if (held.length < end + 4 + size) return;
    const text = held.subarray(end + 4, end + 4 + size).toString();
    held = held.subarray(end + 4 + size);
    fs.writeSync(log, JSON.stringify({ head, text }) + '\n');
    take(text);
  }
});
process.stdin.on('end', () => process.exit(0));
