// SPDX-License-Identifier: Apache-2.0
//
// The client of the round-trip test: node round_trip_client.js MODULES FOLDER LOG DOCS SHARE COMMAND ARGUMENTS...
//
// Starts COMMAND, which is `gantry lsp` in front of round_trip_server.js, sends and receives all cases, and compares, byte
// by byte, what each side sent with what the other received, in its order. DOCS is the page that lists what Gantry does
// not pass on as it came. SHARE is `same` or `none`, as the server's table has it: with `same` the client declares that it
// understands everything, and its `initialize` is Gantry's, so only what is in both is compared. It prints the number of types and messages, and ends with 0 when all is as it should be.
'use strict';
const assert = require('node:assert');
const fs = require('node:fs');
const path = require('node:path');
const { spawn } = require('node:child_process');
const { Raw, connect, fail, members, withId } = require('./lsp_wire.js');
const { cases, finder, ids, kAwkward, kGantrys, kSession, types } = require('./round_trip_cases.js');

const [modules, folder, logFile, docs, share, command, ...words] = process.argv.slice(2);
const shared = share === 'same';
const all = cases(modules, folder);
const log = [];
let cancelled;
const cancellation = new Promise((resolve) => { cancelled = resolve; });
const child = spawn(command, words, { stdio: ['pipe', 'pipe', 'inherit'] });
const exited = new Promise((resolve) => child.on('exit', resolve));
let ending = false;
child.on('exit', (code) => { if (!ending) fail(`gantry lsp has ended with ${code}`); });
const { connection, ResponseError } = connect(modules, child.stdout, child.stdin, ids, {
  sent: (text) => log.push(['sent', text]),
  received: (text) => {
    log.push(['received', text]);
    // vscode-jsonrpc keeps cancellations to itself.
    if (members(text).get('method')?.text === '"$/cancelRequest"') cancelled();
  },
});

// ---- the session --------------------------------------------------------------------------------

const find = finder(all, 'serverToClient');
let held = [];
connection.onRequest((method, given) => {
  const answer = method === 'test/asked'
    ? new Raw((id) => `{"id":${id},"error":{"code":-32800,"message":"","data":[1e0]},"jsonrpc":"2.0"}`)
    : find(method, given)?.answer;
  if (!answer) fail(`no case for ${method}`);
  const said = new ResponseError(0, '', answer);
  // An answer that comes before the cancellation would be the end of it.
  if (method === 'test/asked') return cancellation.then(() => said);
  return new Promise((resolve) => held.push(() => resolve(said)));
});
connection.onNotification((method) => {
  if (method !== 'test/flush') return;
  for (const each of held.reverse()) each();
  held = [];
});

const request = (method, params) => connection.sendRequest(method, new Raw(
  (id) => `{"jsonrpc":"2.0","id":${id},"method":${JSON.stringify(method)}${params ? `,"params":${params}` : ''}}`))
  .catch((error) => { if (error.code === undefined) throw error; });
const notify = (method, params) => connection.sendNotification(method, new Raw(
  () => `{"jsonrpc":"2.0","method":${JSON.stringify(method)}${params ? `,"params":${params}` : ''}}`));

function* chunks(direction, size) {
  const mine = all.filter((each) => each.direction === direction);
  for (let at = 0; at < mine.length; at += size) yield mine.slice(at, at + size);
}

// All that Gantry offers a server, and something that the protocol does not know.
function capabilities() {
  const source = fs.readFileSync(path.join(__dirname, '../../plugins/lsp/capabilities/superset.cpp'), 'utf8');
  const all = JSON.parse(/R"\(([^]*?)\)"/.exec(source)[1], (name, value) =>
    (name === 'dynamicRegistration' ? true : value ?? undefined));
  return `${JSON.stringify(all).slice(0, -1)},"x":${kAwkward}}`;
}

async function session() {
  await request('initialize', `{"processId":${process.pid} , "rootUri":"file://${folder}","clientInfo":{"name":"ö"},` +
    `"capabilities":${shared ? capabilities() : `{"x":${kAwkward}}`},"initializationOptions":${kAwkward},"workspaceFolders":null,"trace":"off"}`);
  await notify('initialized', '{}');
  const kAtOnce = 8;
  for (const chunk of chunks('clientToServer', kAtOnce)) {
    const answers = [];
    for (const { method, request: is, message } of chunk) {
      if (is) answers.push(connection.sendRequest(method, message).catch(() => {}));
      else await connection.sendNotification(method, message);
    }
    await notify('test/flush');
    await Promise.all(answers);
  }
  for (const chunk of chunks('serverToClient', kAtOnce))
    await request('test/play', `{"cases":[${chunk.map(({ number }) => number)}]}`);
  let hung;
  const hang = connection.sendRequest('test/hang', new Raw(
    (id) => `{"jsonrpc":"2.0","id":${(hung = id)},"method":"test/hang"}`)).catch(() => {});
  await connection.sendNotification('$/cancelRequest', new Raw(
    () => `{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"x":1e0,"id":${hung}}}`));
  await hang;
  await notify('$/cancelRequest', '{"id":"of no request"}');
  await request('test/ask_and_cancel');
  ending = true;
  await request('shutdown');
  await notify('exit');
  assert.strictEqual(await exited, 0, 'the exit code of gantry lsp');
}

// ---- the comparison -----------------------------------------------------------------------------

// The server's log, once it has been told to exit.
async function serversLog() {
  const read = () => fs.readFileSync(logFile, 'utf8').split('\n').slice(0, -1).map((line) => JSON.parse(line));
  return new Promise((resolve) => {
    const look = () => {
      const now = read();
      if (!/"method":"exit"/.test(now.at(-1)?.[1] ?? '')) return false;
      clearInterval(timer);
      resolve(now);
      return true;
    };
    const timer = setInterval(look, 20);
  });
}

const kinds = (text) => {
  const found = members(text);
  const method = found.has('method') ? JSON.parse(found.get('method').text) : undefined;
  return { method, id: found.get('id')?.text, isResponse: method === undefined };
};
// The host's own connections have a message a line: a message with line ends between its tokens arrives without them,
// perhaps without other blanks there. All other messages arrive with each byte, but for blanks around them.
const blanks = /("(?:[^"\\]|\\.)*")|[ \t\r\n]+/g;
const inLines = (text) => /[\r\n]/.test(text);
const withoutBlanks = (text) => text.replace(blanks, '$1');
const shortened = (text) => (text === undefined ? 'nothing' : text.length > 600 ? `${text.slice(0, 600)}...` : text);

function same(got, wanted, what) {
  if (wanted !== undefined && inLines(wanted)) {
    if (inLines(got)) fail(`${what}: a line end has arrived`);
    [got, wanted] = [withoutBlanks(got), withoutBlanks(wanted)];
  }
  if (got === wanted) return;
  let at = 0;
  while (at < Math.min(got?.length ?? 0, wanted?.length ?? 0) && got[at] === wanted[at]) ++at;
  fail(`${what}: at ${at}\n  ...${got?.slice(Math.max(0, at - 80), at + 80)}\ninstead of\n  ` +
       `...${wanted?.slice(Math.max(0, at - 80), at + 80)}\nthe message: ${shortened(got)}`);
}

// `from` sends to `to`: requests and notifications arrive in their order, nothing else does, and each is as it was but for
// its id. Each id is new to its receiver, and the answer comes back once, with the id as the request had it.
// Returns how many messages there were.
function compare(from, to, direction) {
  const of = (side, kind, responses) => side.filter(([which, text]) => which === kind && kinds(text).isResponse === responses)
    .map(([, text]) => text.trim());
  const sent = of(from, 'sent', false);
  const arrived = of(to, 'received', false);
  const theirs = new Map(); // the receiver's ids, by the sender's
  let at = 0;
  for (const text of sent) {
    const { method, id } = kinds(text);
    const what = `${direction}: ${method}`;
    if (method === '$/cancelRequest') {
      const params = members(text).get('params').text;
      const cancelled = theirs.get(members(params).get('id').text);
      if (cancelled === undefined) continue; // Gantry knows no such request
      const wanted = direction === 'clientToServer'
        ? `{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":${cancelled}}}`
        : text.replace(params, withId(params, cancelled));
      same(arrived[at++], wanted, what);
      continue;
    }
    const got = arrived[at++];
    let wanted = method === 'initialize' ? text.replace(/"processId":\d+/, '"processId":null') : text;
    if (method === 'initialize' && shared) {
      const { params: arrived } = JSON.parse(got), { params: said } = JSON.parse(text);
      // Equal values, however they are written: -0 may be 0.
      assert.deepEqual(arrived.initializationOptions, said.initializationOptions);
      assert.deepEqual(arrived.capabilities.x, said.capabilities.x);
      assert.deepStrictEqual([arrived.processId, arrived.rootUri, arrived.trace], [null, said.rootUri, said.trace]);
      theirs.set(id, kinds(got).id);
      continue;
    }
    if (method === 'exit') wanted = '{"jsonrpc":"2.0","method":"exit"}';
    if (got === undefined) fail(`${what} did not arrive`);
    if (id !== undefined) {
      const given = kinds(got).id;
      if ([...theirs.values()].includes(given)) fail(`${what}: the id ${given} was used before`);
      theirs.set(id, given);
      wanted = withId(wanted, given);
    }
    same(got, wanted, what);
  }
  if (at !== arrived.length) fail(`${direction}: nobody sent ${shortened(arrived[at])}`);

  const answers = new Map(of(to, 'sent', true).map((text) => [kinds(text).id, text]));
  const back = of(from, 'received', true);
  const seen = new Set();
  for (const text of back) {
    const { id } = kinds(text);
    if (!theirs.has(id)) fail(`${direction}: an answer to ${id}, which nobody asked: ${shortened(text)}`);
    if (seen.has(id)) fail(`${direction}: a second answer to ${id}`);
    seen.add(id);
    const answer = answers.get(theirs.get(id));
    if (answer === undefined) fail(`${direction}: nobody has answered ${id} with ${shortened(text)}`);
    same(text, withId(answer, id), `${direction}: the answer to ${id}`);
  }
  if (seen.size !== theirs.size) fail(`${direction}: ${theirs.size - seen.size} requests have no answer`);
  return sent.length + back.length;
}

// The table of docs/editors.md and the list in round_trip_cases.js are one.
function compareDocs() {
  const table = new Map();
  for (const line of fs.readFileSync(docs, 'utf8').split('\n')) {
    const cells = /^\| `([^`]+)` \| (clientToServer|serverToClient|both) \|/.exec(line);
    if (cells) table.set(cells[1], cells[2]);
  }
  assert.deepStrictEqual([...table].sort(), [...kGantrys].sort(), `what Gantry does itself, as ${docs} has it`);
}

// All types are among the cases, or begin and end the session, or are Gantry's.
function compareTypes() {
  const used = new Set([...all.map(({ method }) => method), ...kSession, ...kGantrys.keys()]);
  const exported = types(modules);
  const missing = exported.filter(({ method }) => !used.has(method));
  assert.deepStrictEqual(missing, []);
  const methods = new Set(exported.map(({ method }) => method));
  for (const method of kGantrys.keys()) assert(methods.has(method), `${method} is a type`);
  return exported.length;
}

async function main() {
  compareDocs();
  const count = compareTypes();
  connection.listen();
  await session();
  const server = await serversLog();
  const messages = compare(log, server, 'clientToServer') + compare(server, log, 'serverToClient');
  console.log(JSON.stringify({ types: count, cases: all.length, messages }));
}

// So that a message which never comes is named, long before the test is ended.
setTimeout(() => fail(`not at the end after 120 s; the last messages:\n${log.slice(-6).map(([kind, text]) =>
  `${kind} ${shortened(text)}`).join('\n')}`), 120_000).unref();
main().then(() => process.exit(0), fail);
