// SPDX-License-Identifier: Apache-2.0
//
// The recording server of the round-trip test: node round_trip_server.js MODULES FOLDER LOG
//
// Writes what comes and what is sent into LOG, one JSON array of kind and text a line. Answers to requests wait for a
// `test/flush` and then go out in the reverse order. `test/play` {cases: [N...]} is answered when the client has answered
// these cases; `test/hang` when its cancellation comes.
'use strict';
const fs = require('node:fs');
const { Raw, connect, fail, members } = require('./lsp_wire.js');
const { cases, finder, ids, kAwkward } = require('./round_trip_cases.js');

const [modules, folder, logFile] = process.argv.slice(2);
const log = fs.openSync(logFile, 'a');
const note = (kind) => (text) => fs.writeSync(log, JSON.stringify([kind, text]) + '\n');
const all = cases(modules, folder);
const find = finder(all, 'clientToServer');
let held = [];
let cancelled;
const cancellation = new Promise((resolve) => (cancelled = resolve));

const { connection, ResponseError } = connect(modules, process.stdin, process.stdout, (n) => ids(n + 7), {
  sent: note('sent'),
  received(text) {
    note('received')(text);
    // vscode-jsonrpc keeps cancellations to itself.
    if (members(text).get('method')?.text === '"$/cancelRequest"') cancelled();
  },
});
const raw = (text) => new Raw((id) => `{"jsonrpc":"2.0","id":${id},${text}}`);
const said = (answer) => new ResponseError(0, '', answer);

async function play(numbers) {
  const answers = [];
  for (const number of numbers) {
    const { method, request, message } = all[number];
    if (request) answers.push(connection.sendRequest(method, message).catch(() => {}));
    else await connection.sendNotification(method, message);
  }
  await connection.sendNotification('test/flush', new Raw(() => '{"jsonrpc":"2.0","method":"test/flush"}'));
  await Promise.all(answers);
}

connection.onRequest(async (method, given) => {
  if (method === 'initialize') return said(raw(`"result":{"capabilities":{"textDocumentSync":1},"x":${kAwkward}}`));
  if (method === 'shutdown') return said(raw('"result":null'));
  if (method === 'test/play') return play(given.cases).then(() => said(raw('"result":null')));
  if (method === 'test/hang')
    return cancellation.then(() => said(raw('"error":{"code":-32800,"message":"cancelled","data":1e0}')));
  if (method === 'test/ask_and_cancel') {
    let id;
    const asked = connection.sendRequest('test/asked', new Raw((mine) => {
      id = mine;
      return `{"jsonrpc":"2.0","id":${mine},"method":"test/asked","params":[3.0]}`;
    })).catch(() => {});
    await connection.sendNotification('$/cancelRequest', new Raw(
      () => `{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"x":1e0,"id":${id}}}`));
    await asked;
    return said(raw('"result":null'));
  }
  const found = find(method, given);
  if (!found) fail(`no case for ${method}`);
  return new Promise((resolve) => held.push(() => resolve(said(found.answer))));
});
connection.onNotification((method) => {
  if (method === 'exit') process.exit(0);
  if (method !== 'test/flush') return;
  for (const each of held.reverse()) each();
  held = [];
});
connection.listen();
