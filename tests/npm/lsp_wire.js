// SPDX-License-Identifier: Apache-2.0
//
// A vscode-jsonrpc connection whose messages are written and read as the bytes that a test chooses and sees. What is sent
// as an instance of Raw goes out as its text; what comes is kept as text beside what vscode-jsonrpc makes of it.
'use strict';
const path = require('node:path');
const { createRequire } = require('node:module');

// The raw texts of the members of one JSON object, by name; for equal names the last counts, as in JSON.parse.
function members(text) {
  const out = new Map();
  const blank = (i) => { while (' \t\r\n'.includes(text[i])) ++i; return i; };
  const string = (i) => { for (++i; text[i] !== '"'; ++i) if (text[i] === '\\') ++i; return i + 1; };
  const value = (i) => {
    if (text[i] === '"') return string(i);
    for (let depth = 0; i < text.length; ++i) {
      if (text[i] === '"') { i = string(i) - 1; continue; }
      if ('{['.includes(text[i])) ++depth;
      if ('}]'.includes(text[i]) && --depth <= 0) return depth < 0 ? i : i + 1;
      if (depth === 0 && ', \t\r\n'.includes(text[i])) return i;
    }
    return i;
  };
  for (let i = blank(blank(0) + 1); text[i] === '"'; i = blank(i + 1)) {
    const named = string(i);
    const from = blank(blank(named) + 1);
    const to = value(from);
    out.set(JSON.parse(text.slice(i, named)), { from, to, text: text.slice(from, to) });
    i = blank(to);
    if (text[i] !== ',') break;
  }
  return out;
}

// `text` with another id, all else as it is.
function withId(text, id) {
  const at = members(text).get('id');
  return at ? text.slice(0, at.from) + id + text.slice(at.to) : text;
}

// The text of a message: `write(id)` gives it for an id in JSON; a notification has none.
class Raw {
  constructor(write) { this.write = write; }
}

// `ids(n)`: the text of the id of the n-th request. `log`: {sent(text), received(text)}.
function connect(modules, input, output, ids, log) {
  const rpc = createRequire(path.join(modules, '/'))('vscode-jsonrpc/node');
  const mine = new Map(); // vscode-jsonrpc's numbers of my requests, by the text of their ids
  const encode = async (message) => {
    const raw = message.params ?? message.error?.data ?? message.result;
    let id = message.method === undefined ? message.id : undefined;
    if (message.method !== undefined && message.id !== undefined) mine.set((id = ids(message.id)), message.id);
    const text = raw instanceof Raw ? raw.write(id) : JSON.stringify(message);
    log.sent(text);
    return Buffer.from(text);
  };
  const decode = async (bytes) => {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    log.received(text);
    const message = JSON.parse(text);
    const id = members(text).get('id')?.text;
    // One of mine is known by its number; a peer's by its text, as which it goes back.
    if (id !== undefined) message.id = message.method === undefined ? mine.get(id) : id;
    return message;
  };
  const connection = rpc.createMessageConnection(
    new rpc.StreamMessageReader(input, { contentTypeDecoder: { name: 'raw', decode } }),
    new rpc.StreamMessageWriter(output, { contentTypeEncoder: { name: 'raw', encode } }));
  connection.onError(([error]) => fail(error));
  return { connection, ResponseError: rpc.ResponseError };
}

function fail(why) {
  console.error(why instanceof Error ? why.stack : why);
  process.exit(1);
}

module.exports = { Raw, connect, fail, members, withId };
