// SPDX-License-Identifier: Apache-2.0
//
// node compare.js MODULES GANTRY FOLDER [NAME...]
//
// Opens real repositories, which lie in FOLDER (fetch.sh), by two editors and an agent at once: `gantry lsp` twice, and
// lsp.request on the host's socket. The second editor has another, unsaved text of each file. What each is answered is
// compared with the answer of a server of the same kind that is driven directly and has the same text. Prints a line for
// each repository and each answer that differs, and ends with 1 if one does.
//
// A server that is still reading a project answers less than it will: what differs is asked again, of both, up to kTries
// times. How often that was is printed.
'use strict';
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { spawn, spawnSync } = require('node:child_process');
const { createRequire } = require('node:module');

const [modules, gantry, folder, ...names] = process.argv.slice(2); // or MODULES --list
const rpc = createRequire(path.join(modules, '/'))('vscode-jsonrpc/node');
const npm = (script) => ['node', path.join(modules, 'node_modules', script)];
const kServers = {
  clangd: { command: ['clangd-19'], languages: ['c', 'cpp'], comment: '//' },
  gopls: { command: ['gopls'], languages: ['go'], comment: '//' },
  pyright: { command: [...npm('pyright/langserver.index.js'), '--stdio'], languages: ['python'], comment: '#' },
  pylsp: { command: ['pylsp'], languages: ['python'], comment: '#' },
  typescript: { command: [...npm('typescript-language-server/lib/cli.mjs'), '--stdio'],
                languages: ['typescript', 'javascript'], comment: '//' },
  bash: { command: [...npm('bash-language-server/out/cli.js'), 'start'], languages: ['shellscript'], comment: '#' },
};
const kRepositories = [
  { name: 'lua5.4', server: 'clangd', language: 'c', files: ['src/lapi.c', 'src/lvm.c', 'src/lstring.h'] },
  { name: 'redis', server: 'clangd', language: 'c', files: ['src/dict.c', 'src/sds.c', 'src/t_string.c'] },
  { name: 'gdb', server: 'clangd', language: 'c', files: ['bfd/elf.c', 'libiberty/hashtab.c', 'opcodes/i386-dis.c'] },
  { name: 'fmtlib', server: 'clangd', language: 'cpp', files: ['include/fmt/core.h', 'src/os.cc', 'test/args-test.cc'] },
  { name: 'leveldb', server: 'clangd', language: 'cpp', files: ['db/db_impl.cc', 'util/cache.cc', 'table/block.cc'] },
  { name: 'golang-github-spf13-cobra', server: 'gopls', language: 'go', files: ['command.go', 'args.go', 'doc/util.go'] },
  { name: 'golang-github-gorilla-mux', server: 'gopls', language: 'go', files: ['mux.go', 'regexp.go', 'route.go'] },
  { name: 'jinja2', server: 'pyright', language: 'python',
    files: ['src/jinja2/lexer.py', 'src/jinja2/utils.py', 'src/jinja2/loaders.py'] },
  { name: 'pylint', server: 'pylsp', language: 'python',
    files: ['pylint/lint/utils.py', 'pylint/graph.py', 'pylint/interfaces.py'] },
  { name: 'node-typescript', server: 'typescript', language: 'typescript',
    files: ['src/compiler/scanner.ts', 'src/compiler/sys.ts', 'src/services/outliningElementsCollector.ts'] },
  { name: 'node-express', server: 'typescript', language: 'javascript',
    files: ['lib/router/index.js', 'lib/utils.js', 'lib/view.js'] },
  { name: 'debootstrap', server: 'bash', language: 'shellscript', files: ['debootstrap', 'functions'] },
];
const kPlaces = 6; // in each file
const kTries = 20;
const kPause = 500; // ms
const kProviders = new Map([
  ['textDocument/documentSymbol', 'documentSymbolProvider'],
  ['textDocument/foldingRange', 'foldingRangeProvider'],
  ['textDocument/hover', 'hoverProvider'],
  ['textDocument/definition', 'definitionProvider'],
  ['textDocument/documentHighlight', 'documentHighlightProvider'],
  ['textDocument/references', 'referencesProvider'],
]);
const ofWholeFile = (method) => method === 'textDocument/documentSymbol' || method === 'textDocument/foldingRange';
const uriOf = (file) => `file://${file.split('/').map(encodeURIComponent).join('/')}`;
const pause = () => new Promise((resolve) => setTimeout(resolve, kPause));

// What Gantry offers all servers.
function capabilities() {
  const source = fs.readFileSync(path.join(__dirname, '../../plugins/lsp/capabilities/superset.cpp'), 'utf8');
  return JSON.parse(/R"\(([^]*?)\)"/.exec(source)[1], (name, value) => value ?? undefined);
}

// An editor in front of a server, or of `gantry lsp`.
class Editor {
  constructor(command, cwd, env) {
    this.child = spawn(command[0], command.slice(1), { cwd, env, stdio: ['pipe', 'pipe', 'ignore'] });
    this.connection = rpc.createMessageConnection(new rpc.StreamMessageReader(this.child.stdout),
                                                  new rpc.StreamMessageWriter(this.child.stdin));
    this.connection.onRequest((method, params) =>
      (method === 'workspace/configuration' ? params.items.map(() => null) : null));
    this.connection.onNotification(() => {});
    this.connection.onError(() => {});
    this.connection.listen();
  }
  async begin(root) {
    const answer = await this.connection.sendRequest('initialize', {
      processId: process.pid, rootUri: uriOf(root), workspaceFolders: [{ uri: uriOf(root), name: path.basename(root) }],
      capabilities: capabilities(), initializationOptions: {} });
    await this.connection.sendNotification('initialized', {});
    return answer.capabilities;
  }
  open(file, language, text) {
    return this.connection.sendNotification('textDocument/didOpen', {
      textDocument: { uri: uriOf(file), languageId: language, version: 1, text } });
  }
  ask(method, params) { return this.connection.sendRequest(method, params).catch((error) => ({ error: error.message })); }
  async end() {
    await Promise.race([this.connection.sendRequest('shutdown').catch(() => {}), pause()]);
    this.child.kill('SIGKILL');
  }
}

// What the server said, without Gantry's words about who said it.
const withoutPrefix = (text) => text.replace(/^\S+ answered \S+ with an error: /, '');

// An agent: calls on the host's socket.
class Agent {
  constructor(socket, language) {
    this.language = language;
    this.socket = net.connect(socket);
    this.waiting = new Map();
    this.last = 0;
    let rest = '';
    this.socket.setEncoding('utf8').on('data', (data) => {
      const lines = (rest + data).split('\n');
      rest = lines.pop();
      for (const line of lines) {
        const message = JSON.parse(line);
        this.waiting.get(message.id)?.(message.error ? { error: withoutPrefix(message.error.message) } : message.result);
        this.waiting.delete(message.id);
      }
    });
  }
  call(method, params) {
    const id = ++this.last;
    this.socket.write(`${JSON.stringify({ jsonrpc: '2.0', id, method, params })}\n`);
    return new Promise((resolve) => this.waiting.set(id, resolve));
  }
  ask(method, params) {
    return this.call('lsp.request', { uri: params.textDocument.uri, language: this.language, method, params });
  }
  end() { this.socket.destroy(); }
}

// A host of its own for each repository.
class Host {
  constructor(root, name, server) {
    this.dir = fs.mkdtempSync(path.join(os.tmpdir(), 'gantry-repositories-'));
    const config = path.join(this.dir, 'g.toml');
    fs.writeFileSync(config, `[log]\nstderr = false\n[async]\nlsp_request_timeout_seconds = 300\n` +
      `[lsp.servers.${name}]\ncommand = ${JSON.stringify(server.command)}\nlanguages = ` +
      `${JSON.stringify(server.languages)}\nruns_project_code = false\n`);
    this.socket = path.join(this.dir, 's');
    this.env = { ...process.env, GANTRY_STATE_DIR: path.join(this.dir, 'state'), XDG_CONFIG_HOME: this.dir };
    this.child = spawn(gantry, ['serve', '--socket', this.socket, '--config', config, '--workspace', root],
                       { env: this.env, stdio: 'ignore' });
  }
  async listens() {
    for (let i = 0; i < 100 && !fs.existsSync(this.socket); ++i) await pause();
  }
  editor(name, root) { return new Editor([gantry, '--socket', this.socket, 'lsp', '--server', name], root, this.env); }
  end() {
    spawnSync(gantry, ['--socket', this.socket, 'stop'], { env: this.env });
    fs.rmSync(this.dir, { recursive: true, force: true });
  }
}

// The order of places says nothing; names of results belong to their server.
function normal(answer) {
  const places = Array.isArray(answer) && answer.every((each) => each?.uri || each?.targetUri || (each?.range && !each.name));
  return JSON.stringify(places ? answer.map((each) => JSON.stringify(each)).sort() : answer, (key, value) =>
    (key === 'resultId' || key === 'data' ? undefined : value));
}

// Names in the text, evenly spread.
function places(text) {
  const all = [];
  text.split('\n').forEach((line, at) => {
    for (const found of line.matchAll(/[A-Za-z_]\w{3,}/g)) all.push({ line: at, character: found.index + 1 });
  });
  return Array.from({ length: kPlaces }, (_, i) => all[Math.floor(((i + 0.5) * all.length) / kPlaces)]).filter(Boolean);
}

function linesOf(root) {
  const found = spawnSync('sh', ['-c', `find '${root}' -type f -size -4M -print0 | xargs -0 grep -Il . | tr '\\n' '\\0' | ` +
    `xargs -0 cat | wc -l`], { encoding: 'utf8' });
  return Number(found.stdout);
}

async function compare({ name, server: kind, language, files }) {
  const root = fs.realpathSync(path.join(folder, name));
  const server = kServers[kind];
  const host = new Host(root, kind, server);
  await host.listens();
  const a = host.editor(kind, root), b = host.editor(kind, root), agent = new Agent(host.socket, language);
  const directA = new Editor(server.command, root, process.env), directB = new Editor(server.command, root, process.env);
  const [offered] = await Promise.all([directA, directB, a, b].map((editor) => editor.begin(root)));
  const count = { answers: 0, again: 0, different: 0 };
  const one = async (who, method, ask, askDirect) => {
    let got, wanted;
    for (let i = 0; i < kTries; ++i) {
      [got, wanted] = (await Promise.all([ask(), askDirect()])).map(normal);
      if (got === wanted) break;
      ++count.again;
      await pause();
    }
    ++count.answers;
    if (got === wanted) return;
    ++count.different;
    let at = 0;
    while (at < Math.min(got?.length ?? 0, wanted?.length ?? 0) && got[at] === wanted[at]) ++at;
    const part = (answer) => answer?.slice(Math.max(0, at - 100), at + 200);
    console.log(`  ${name}: ${method} of ${who}, at ${at}:\n    ${part(got)}\n  instead of\n    ${part(wanted)}`);
  };
  for (const each of files.filter((file) => fs.existsSync(path.join(root, file)))) {
    const file = path.join(root, each);
    const text = fs.readFileSync(file, 'utf8');
    const other = text.startsWith('#!') ? text.replace('\n', `\n${server.comment} unsaved\n`)
                                        : `${server.comment} unsaved\n${text}`;
    for (const [editor, own] of [[a, text], [b, other], [directA, text], [directB, other]])
      await editor.open(file, language, own);
    for (const [method, provider] of kProviders) {
      if (!offered[provider]) continue;
      const asked = (own) => (ofWholeFile(method) ? [{}] : places(own).map((position) => ({ position })))
        .map((more) => ({ textDocument: { uri: uriOf(file) }, context: { includeDeclaration: true }, ...more }));
      // All at once: each server has to show one text after the other.
      await Promise.all([
        ...asked(text).map((params) => one('a', method, () => a.ask(method, params), () => directA.ask(method, params))),
        ...asked(other).map((params) => one('b', method, () => b.ask(method, params), () => directB.ask(method, params))),
        ...asked(text).map((params) => one('the agent', method, () => agent.ask(method, params),
                                           () => directA.ask(method, params))),
      ]);
    }
  }
  const servers = (await agent.call('lsp.servers', {})).servers.filter((each) => each.pid > 0);
  await Promise.all([a.end(), b.end(), directA.end(), directB.end()]);
  agent.end();
  host.end();
  const processes = new Set(servers.map((each) => each.pid)).size;
  if (processes !== 1) console.log(`  ${name}: servers ${JSON.stringify(servers, null, 1)}`);
  console.log(`${name}: ${linesOf(root)} lines, ${kind}, ${count.answers} answers, ${count.different} different, ` +
    `${count.again} asked again, ${processes} process${processes === 1 ? '' : 'es'}`);
  return count.different === 0 && count.answers > 0 && processes === 1;
}

async function main() {
  let fine = true;
  for (const each of kRepositories) {
    if (names.length > 0 && !names.includes(each.name)) continue;
    fine = (await compare(each)) && fine;
  }
  process.exit(fine ? 0 : 1);
}
if (gantry === '--list') console.log(kRepositories.map(({ name }) => name).join(' '));
else main();
