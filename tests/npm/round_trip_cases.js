// SPDX-License-Identifier: Apache-2.0
//
// The messages of the round-trip test: each request and notification type that vscode-languageserver-protocol exports, in
// each direction that the package gives the type, three times. Client and server make the same list.
'use strict';
const fs = require('node:fs');
const path = require('node:path');
const { createRequire } = require('node:module');
const { Raw } = require('./lsp_wire.js');

// What Gantry answers, rewrites or sends itself, beside the ids of requests. docs/editors.md has the same list.
const kGantrys = new Map([
  ['initialize', 'clientToServer'],
  ['exit', 'clientToServer'],
  ['$/cancelRequest', 'both'],
]);
// That begin and end a session: once each.
const kSession = new Set(['initialize', 'initialized', 'shutdown', 'exit']);

// [{method, direction, request, hasParams}], from the types themselves.
function types(modules) {
  const require_ = createRequire(path.join(modules, '/'));
  const folder = path.join(path.dirname(require_.resolve('vscode-languageserver-protocol')), '../common');
  const rpc = require_('vscode-jsonrpc/node');
  const requests = [rpc.RequestType, rpc.RequestType0];
  const notifications = [rpc.NotificationType, rpc.NotificationType0];
  const is = (type, classes) => classes.some((each) => type instanceof each);
  const found = new Map();
  for (const file of fs.readdirSync(folder).filter((name) => /^protocol.*\.js$/.test(name))) {
    for (const space of Object.values(require_(path.join(folder, file)))) {
      const type = space?.type;
      const request = is(type, requests);
      if (!request && !is(type, notifications)) continue;
      if (!/^(clientToServer|serverToClient|both)$/.test(space.messageDirection))
        throw new Error(`${type.method} has no direction`);
      found.set(type.method, { method: type.method, direction: space.messageDirection, request,
                               hasParams: type.numberOfParams !== 0 });
    }
  }
  // The messages that every part of the protocol uses are in a file that exports nothing: its text says what they are.
  const declared = new RegExp(String.raw`\.method = '([^']+)';\s+\w+\.messageDirection = [\w.]+\.(\w+);\s+` +
                              String.raw`\w+\.type = new [\w.]+Protocol(Request|Notification)Type(0?)\(`, 'g');
  for (const [, method, direction, kind, none] of fs.readFileSync(path.join(folder, 'protocol.$.js'), 'utf8').matchAll(declared))
    found.set(method, { method, direction, request: kind === 'Request', hasParams: none === '' });
  return [...found.values()].sort((a, b) => (a.method < b.method ? -1 : 1));
}

const deep = (n) => '['.repeat(n) + ']'.repeat(n);
// JSON that a parser and a printer between would not give back as the same bytes.
const kAwkward = String.raw`{"unicode":"äß€漢字 ` + '\u2028\u2029\u007f' + String.raw`","beyond the BMP":"𝄞👩‍👩‍👧‍👦","escaped":"\u0000\u001F\\\/\"` +
  String.raw`\b\f\n\r\t\u00e9\uD83D\uDE00","numbers":[1e0,3.0,-0,-0.0,0.1e-7,1E+2,9007199254740993,-9223372036854775808,` +
  String.raw`18446744073709551615,1.7976931348623157e308,5e-324,0.3000000000000000444089],"null":null,"true":true,` +
  String.raw`"empty":[[],{},"",[[]],[{}]],"":"","__proto__":{"method":"exit"},"twice":1,"twice":[2],"id":"not the id",` +
  String.raw`"method":"not the method","jsonrpc":"1.0","error":{"code":1,"message":""},"a\"b\\":"}]{[",` +
  '"deep":' + deep(54) + ', "spaced"\t: [ 1 ,2 ]}';

// Such params that each type finds in them what the protocol wants, beside what is awkward.
function params(number, variant, folder) {
  const uri = `"file://${folder}/w%C3%B6rk%20${variant}/%F0%9D%84%9E.x"`;
  const text = String.raw`"text":"int 𝄞 = ${number};\n\tä\r\n"`;
  const place = '"position":{"line":0,"character":4},"range":{"start":{"line":0,"character":0},"end":{"line":0,"character":1}}';
  return `{"case":${number},"textDocument":{"uri":${uri},"languageId":"x","version":${number + 1},${text}},${place},` +
    `"contentChanges":[{${text}}],"context":{"triggerKind":1,"diagnostics":[]},"newName":"ö","query":"","command":"c",` +
    `"notebookDocument":{"uri":${uri},"notebookType":"x","version":${number + 1},"cells":[]},"cellTextDocuments":[],` +
    `"change":{"metadata":{}},"event":{"added":[],"removed":[]},"settings":{"x":[1.0]},"changes":[{"uri":${uri},"type":1}],` +
    `"files":[{"uri":${uri},"oldUri":${uri},"newUri":${uri}}],"type":3,"message":"m","value":{"kind":"report"},` +
    `"token":"t\\u00f6ken ${number}","workDoneToken":"w${number}","partialResultToken":${number}.0,"uri":${uri},` +
    `"registrations":[{"id":"r${variant}","method":"workspace/didChangeWatchedFiles","registerOptions":{"watchers":[]}}],` +
    `"unregisterations":[{"id":"r${variant}","method":"workspace/didChangeWatchedFiles"}],"edit":{"changes":{}},` +
    `"items":[{"section":"x"}],"diagnostics":[{${place},"message":"d","data":3.0}],"label":null,"arguments":[],` +
    `"filler":"${'ö'.repeat((number * 611) % 9001)}","awkward":${kAwkward}}`;
}

const kSpellings = [
  (m) => `{"jsonrpc":"2.0",${m.id ? `"id":${m.id},` : ''}${m.rest.join(',')}}`,
  (m) => `{${[...m.rest].reverse().join(',')}${m.id ? `,"id":${m.id}` : ''},"jsonrpc":"2.0"}`,
  (m) => ` {\t"more" : {"id":7} ,\n "jsonrpc":"2.0" ${m.id ? `,\r\n"id" : ${m.id} ` : ''}, ${m.rest.join(' ,\t')} } `,
];
// The third spelling has a method's slashes escaped, as some libraries write them.
const spelt = (variant, rest) => new Raw((id) => kSpellings[variant]({ id, rest }));
const methodMember = (variant, method) =>
  `"method":${variant === 2 ? JSON.stringify(method).replaceAll('/', '\\/') : JSON.stringify(method)}`;

// The three answers to each request.
const answer = (number, variant) => spelt(variant, [
  [`"result":{"case":${number},"x":${kAwkward}}`],
  [`"error":{"code":${[-32801, -32803, 12345][number % 3]},"message":"nö \\ud83d\\ude00","data":${kAwkward}}`],
  ['"result":null', '"error":null'],
][variant]);

// Cases in the order in which they are sent: {number, method, direction, request, message, answer}. A request that no
// specification knows and such a notification are among them.
function cases(modules, folder) {
  const all = types(modules).filter(({ method }) => !kSession.has(method) && !kGantrys.has(method));
  for (const direction of ['clientToServer', 'serverToClient'])
    for (const request of [true, false])
      all.push({ method: `ünknown/${request ? 'request' : 'notification'}`, direction, request, hasParams: true });
  const rank = ({ method }) => (/\/didOpen$/.test(method) ? 0 : /\/didClose$/.test(method) ? 2 : 1);
  all.sort((a, b) => rank(a) - rank(b));
  const out = [];
  for (const type of all) {
    const directions = type.direction === 'both' ? ['clientToServer', 'serverToClient'] : [type.direction];
    for (const direction of directions) {
      for (let variant = 0; variant < 3; ++variant) {
        const number = out.length;
        const rest = [methodMember(variant, type.method)];
        if (type.hasParams) rest.push(`"params":${params(number, variant, folder)}`);
        out.push({ ...type, direction, number, message: spelt(variant, rest), answer: answer(number, variant) });
      }
    }
  }
  return out;
}

// Finds the case of a request that came: types without params have their cases answered in turn.
function finder(cases_, direction) {
  const turns = new Map();
  return (method, given) => {
    if (given?.case !== undefined) return cases_[given.case];
    const own = cases_.filter((each) => each.method === method && each.direction === direction);
    const turn = turns.get(method) ?? 0;
    turns.set(method, turn + 1);
    return own[turn];
  };
}

// Ids as clients and servers choose them, none twice.
const kIds = [(n) => `${n}`, (n) => `"s${n}"`, (n) => `${n}.0`, (n) => `-${n}`, (n) => `"\\u00e4\\/${n}"`, (n) => `${n}e0`,
              (n) => `"𝄞 ${n}"`, (n) => `${n}.25`, (n) => `1844674407${String(n).padStart(10, '0')}`, (n) => `"${n}"`];
const ids = (n) => kIds[n % kIds.length](n + 1);

module.exports = { cases, finder, ids, kAwkward, kGantrys, kSession, types };
