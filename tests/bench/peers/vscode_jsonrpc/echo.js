#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
//
// echo-vscode-jsonrpc SOCKET: what a language server in Node is built on; Content-Length frames.
'use strict';
const net = require('node:net');
const rpc = require('vscode-jsonrpc/node');

net
  .createServer((socket) => {
    socket.on('error', () => socket.destroy());
    const connection = rpc.createMessageConnection(
      new rpc.SocketMessageReader(socket),
      new rpc.SocketMessageWriter(socket),
    );
    connection.onRequest('echo.echo', (params) => params);
    connection.listen();
  })
  .listen(process.argv[2]);
