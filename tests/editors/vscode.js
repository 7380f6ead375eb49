// SPDX-License-Identifier: Apache-2.0
//
// node vscode.js MODULES: the client library of VS Code, vscode-languageserver-protocol over vscode-jsonrpc, in front of
// `gantry lsp`, in the working folder of tests/integration/lsp_editors.cpp. It prints why, and ends with 1, when anything
// is not as it should be.
'use strict';
const assert = require('node:assert');
const fs = require('node:fs');
const path = require('node:path');
const { execFileSync, spawn } = require('node:child_process');
const { createRequire } = require('node:module');
const { pathToFileURL } = require('node:url');
const lsp = createRequire(path.join(process.argv[2], '/'))('vscode-languageserver-protocol/node');

const uri = pathToFileURL('a.cpp').href;
const textDocument = { uri };
let text = fs.readFileSync('a.cpp', 'utf8');
let version = 1;

const offset = ({ line, character }) => text.split('\n').slice(0, line).reduce((sum, each) => sum + each.length + 1, character);
const apply = (edits) => {
  for (const { range, newText } of [...edits].sort((a, b) => offset(b.range.start) - offset(a.range.start)))
    text = text.slice(0, offset(range.start)) + newText + text.slice(offset(range.end));
};
const applyAll = ({ changes, documentChanges }) => apply(changes ? changes[uri] : documentChanges.flatMap(({ edits }) => edits));

async function main() {
  const child = spawn('gantry', ['lsp'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => child.on('exit', (code, signal) => resolve(code ?? signal)));
  const connection = lsp.createProtocolConnection(new lsp.StreamMessageReader(child.stdout),
                                                  new lsp.StreamMessageWriter(child.stdin));
  let last; // the diagnostics, and who waits for others
  let look = () => {};
  connection.onNotification(lsp.PublishDiagnosticsNotification.type, (params) => { last = params; look(); });
  let edited = 0;
  connection.onRequest(lsp.ApplyWorkspaceEditRequest.type, ({ edit }) => {
    applyAll(edit);
    ++edited;
    return { applied: true };
  });
  connection.listen();
  const diagnostics = (wanted) => new Promise((resolve) => {
    look = () => {
      if (last?.version === version && last.diagnostics.length === (wanted ? 1 : 0) &&
          (!wanted || last.diagnostics[0].message.includes(wanted))) resolve();
    };
    look();
  });
  const change = (contentChanges) => {
    ++version;
    return connection.sendNotification(lsp.DidChangeTextDocumentNotification.type,
                                       { textDocument: { uri, version }, contentChanges });
  };
  const at = (line, character) => ({ textDocument, position: { line, character } });
  const hover = async (line, character) =>
    JSON.stringify(await connection.sendRequest(lsp.HoverRequest.type, at(line, character)));

  const { capabilities } = await connection.sendRequest(lsp.InitializeRequest.type, {
    processId: process.pid, rootUri: pathToFileURL('.').href, workspaceFolders: [{ uri: pathToFileURL('.').href, name: 'x' }],
    capabilities: { workspace: { applyEdit: true, workspaceEdit: { documentChanges: true } },
                    textDocument: { publishDiagnostics: { versionSupport: true },
                                    codeAction: { codeActionLiteralSupport: { codeActionKind: { valueSet: ['refactor'] } } } } },
  });
  assert(capabilities.hoverProvider);
  await connection.sendNotification(lsp.InitializedNotification.type, {});
  await connection.sendNotification(lsp.DidOpenTextDocumentNotification.type,
                                    { textDocument: { uri, languageId: 'cpp', version, text } });
  await diagnostics("undeclared identifier 'absent_value'");
  assert.match(await hover(2, 9), /Adds two numbers/);
  const found = await connection.sendRequest(lsp.DefinitionRequest.type, at(2, 9));
  assert.strictEqual(found[0].range.start.line, 1);
  const references = await connection.sendRequest(lsp.ReferencesRequest.type,
                                                  { ...at(1, 5), context: { includeDeclaration: true } });
  assert.strictEqual(references.length, 3);

  // What nobody saves.
  const lines = { start: { line: 4, character: 0 }, end: { line: 5, character: 0 } };
  const newText = '/// Only in VS Code. 𝄞\nint unsaved_name = 7;\nint right = unsaved_name;\n';
  apply([{ range: lines, newText }]);
  await change([{ range: lines, text: newText }]);
  await diagnostics();
  assert.match(await hover(6, 15), /Only in VS Code. 𝄞/);
  const others = process.env.MEETS_IN; // where each editor of several leaves its name, as soon as its text is not the disk's
  if (others) {
    const met = () => fs.readdirSync(others).length >= Number(process.env.MEETS);
    const all = new Promise((resolve) => {
      const watcher = fs.watch(others, () => { if (met()) resolve(watcher.close()); });
      fs.writeFileSync(path.join(others, 'vscode'), '');
      if (met()) resolve(watcher.close());
    });
    await all;
    assert.match(await hover(6, 15), /Only in VS Code. 𝄞/);
  }
  const completed = await connection.sendRequest(lsp.CompletionRequest.type, at(6, 20));
  assert((completed.items ?? completed).some(({ filterText }) => filterText === 'unsaved_name'));

  applyAll(await connection.sendRequest(lsp.RenameRequest.type, { ...at(1, 5), newName: 'plus' }));
  assert.match(text, /int plus\(int a, int b\).*\nint x = plus\(1, 2\);\nauto y = plus\(3, 4\);/);
  await change([{ text }]);

  // A tweak: a command, in which the server asks for the edit.
  const auto = { start: { line: 3, character: 1 }, end: { line: 3, character: 1 } };
  const actions = await connection.sendRequest(lsp.CodeActionRequest.type,
                                               { textDocument, range: auto, context: { diagnostics: [] } });
  const { command } = actions.find(({ title }) => /(deduced|auto) type/.test(title));
  await connection.sendRequest(lsp.ExecuteCommandRequest.type, { command: command.command, arguments: command.arguments });
  assert.strictEqual(edited, 1);
  assert.match(text, /\nint y = plus\(3, 4\);/);
  await change([{ text }]);
  await diagnostics();

  if (!others) {
    const servers = JSON.parse(execFileSync('gantry', ['call', 'lsp.servers'])).servers.filter(({ pid }) => pid);
    assert.strictEqual(servers.length, 1);
    last = undefined;
    process.kill(servers[0].pid, 'SIGKILL');
    for (let answer = ''; !answer.includes('Only in VS Code. 𝄞');) answer = await hover(6, 15).catch(() => '');
    const end = { start: { line: 7, character: 0 }, end: { line: 7, character: 0 } };
    await change([{ range: end, text: 'int again = another_absence;\n' }]);
    await diagnostics("undeclared identifier 'another_absence'");
  }

  await connection.sendRequest(lsp.ShutdownRequest.type);
  await connection.sendNotification(lsp.ExitNotification.type);
  assert.strictEqual(await ended, 0);
}

const fail = (why) => { console.error(why); process.exit(1); };
setTimeout(() => fail('not at the end after 200 s'), 200_000).unref();
main().then(() => process.exit(0), fail);
