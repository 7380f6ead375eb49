// SPDX-License-Identifier: Apache-2.0
//
// Moves MCP messages between HTTP, which the conformance suite speaks, and processes that speak MCP on stdio:
//
//   node mcp_bridge.js COMMAND ARGUMENTS...        prints {"port": N} and serves until its input ends
//
// A session of a legacy client is one process. Modern requests are independent: each goes to a process that has no other
// open, so that their ids cannot collide. Messages are passed on as they are; what HTTP adds is the status of an error
// and the choice between one JSON answer and a stream. It checks no headers.
'use strict';
const http = require('node:http');
const { spawn } = require('node:child_process');
const { randomUUID } = require('node:crypto');
const readline = require('node:readline');

const command = process.argv.slice(2);
const sessions = new Map(); // of legacy clients, by their id
const idle = []; // processes for modern requests
const kVersion = 'io.modelcontextprotocol/protocolVersion';

// The answer to one POST: JSON when its first message is the last, else a stream.
class Reply {
  constructor(res, request) {
    this.res = res;
    this.request = request;
    this.streams = false;
  }
  statusOf(message) {
    const code = message.error?.code;
    if (code === -32601) return 404;
    return code === undefined ? 200 : 400;
  }
  send(message, last, headers) {
    if (last && !this.streams) {
      const legacy = !this.modern;
      this.res.writeHead(legacy ? 200 : this.statusOf(message), { 'content-type': 'application/json', ...headers });
      this.res.end(JSON.stringify(message));
      return;
    }
    if (!this.streams) this.res.writeHead(200, { 'content-type': 'text/event-stream', ...headers });
    this.streams = true;
    this.res.write(`event: message\ndata: ${JSON.stringify(message)}\n\n`);
    if (last) this.res.end();
  }
}

class Peer {
  constructor() {
    this.open = new Map(); // replies by the JSON of their request's id
    this.listener = null; // the stream of a GET
    this.child = spawn(command[0], command.slice(1), { stdio: ['pipe', 'pipe', 'inherit'] });
    this.child.stdin.on('error', () => {});
    readline.createInterface({ input: this.child.stdout }).on('line', (line) => this.take(JSON.parse(line)));
    this.child.on('exit', () => {
      for (const reply of this.open.values()) reply.res.destroy();
    });
  }
  write(message) {
    this.child.stdin.write(JSON.stringify(message) + '\n');
  }
  replyFor(message) {
    if (!('method' in message)) return this.open.get(JSON.stringify(message.id));
    const subscription = message.params?._meta?.['io.modelcontextprotocol/subscriptionId'];
    if (subscription !== undefined) return this.open.get(JSON.stringify(subscription));
    const token = message.params?.progressToken;
    const replies = [...this.open.values()];
    if (token !== undefined) return replies.find((reply) => reply.request.params?._meta?.progressToken === token);
    // Of lists and resources nobody has asked for here and now.
    return message.method.endsWith('changed') || message.method.endsWith('updated') ? undefined : replies.at(-1);
  }
  take(message) {
    const reply = this.replyFor(message);
    const last = !('method' in message);
    if (reply) {
      if (last) this.open.delete(JSON.stringify(message.id));
      reply.send(message, last, this.id && reply.request.method === 'initialize' ? { 'mcp-session-id': this.id } : {});
      if (last && this.onIdle && this.open.size === 0) this.onIdle();
    } else if (!last) {
      if (this.listener) this.listener.write(`event: message\ndata: ${JSON.stringify(message)}\n\n`);
    }
  }
  ask(message, reply) {
    const key = JSON.stringify(message.id ?? null);
    this.open.set(key, reply);
    reply.res.on('close', () => {
      if (this.open.get(key) !== reply) return;
      this.open.delete(key);
      if (reply.modern) this.write({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: message.id } });
      if (this.onIdle && this.open.size === 0) this.onIdle();
    });
    this.write(message);
  }
}

function modernPeer() {
  const peer = idle.pop() ?? new Peer();
  peer.onIdle = () => idle.push(peer);
  return peer;
}

function post(req, res, body) {
  const message = JSON.parse(body);
  const session = sessions.get(req.headers['mcp-session-id']);
  const meta = message.params?._meta;
  const modern = !session && !(message.method === 'initialize' && !meta?.[kVersion]);
  if (!('method' in message) || !('id' in message)) {
    if (session) session.write(message);
    res.writeHead(202).end();
    return;
  }
  const reply = new Reply(res, message);
  reply.modern = modern;
  if (!modern && !session) {
    const peer = new Peer();
    peer.id = randomUUID();
    sessions.set(peer.id, peer);
    peer.ask(message, reply);
  } else {
    (session ?? modernPeer()).ask(message, reply);
  }
}

const server = http.createServer((req, res) => {
  const session = sessions.get(req.headers['mcp-session-id']);
  if (req.method === 'GET' && session) {
    res.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
    session.listener = res;
    res.on('close', () => {
      if (session.listener === res) session.listener = null;
    });
  } else if (req.method === 'DELETE' && session) {
    session.child.stdin.end();
    sessions.delete(session.id);
    res.writeHead(200).end();
  } else if (req.method === 'POST') {
    let body = '';
    req.setEncoding('utf8').on('data', (part) => (body += part)).on('end', () => post(req, res, body));
  } else {
    res.writeHead(405).end();
  }
});
server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port })));
process.stdin.resume().on('end', () => process.exit(0));
