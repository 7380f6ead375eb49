// serve.mjs: serves the forms on 127.0.0.1, has the official client ask for each, prints one line of JSON
// {port, version, forms: [{name, kind, stream, outcome}]}, and serves on until its input ends. The last word of a request
// is the number of the form that it gets.
import net from 'node:net';
import OpenAI from 'openai';
import { VERSION } from 'openai/version';
import { forms } from './forms.mjs';

console.error = () => {}; // the client tells there what it cannot read

const server = net.createServer(socket => {
  let got = Buffer.alloc(0);
  socket.setNoDelay(true);
  socket.on('error', () => {});
  socket.on('data', async more => {
    got = Buffer.concat([got, more]);
    const head = got.indexOf('\r\n\r\n');
    if (head < 0) return;
    const length = Number(/content-length: (\d+)/i.exec(got.toString('latin1', 0, head))?.[1] ?? 0);
    if (got.length < head + 4 + length) return;
    const body = JSON.parse(got.toString('utf8', head + 4));
    const words = (body.prompt ?? body.messages[0].content).split(' ');
    for (const piece of forms[Number(words.at(-1))].pieces) {
      socket.write(piece);
      await new Promise(setImmediate);
    }
    socket.end();
  });
});
await new Promise(listening => server.listen(0, '127.0.0.1', listening));
const { port } = server.address();
const client = new OpenAI({ apiKey: 'none', baseURL: `http://127.0.0.1:${port}/v1`, maxRetries: 0, logLevel: 'off' });

const text = value => (value ?? '').toString().toWellFormed();
const seen = (message, finish) => ({
  text: typeof message.content === 'object' && message.content ? 'no text' : text(message.content), refusal: text(message.refusal), finish: finish || null,
  tools: (message.tool_calls ?? []).map(c => ({ id: text(c.id), name: text(c.function?.name), arguments: text(c.function?.arguments) })),
});
async function ask({ kind, stream }, i) {
  if (kind === 'chat') {
    const request = { model: 'm', messages: [{ role: 'user', content: `form ${i}` }] };
    const answer = stream ? await client.chat.completions.stream(request).finalChatCompletion() : await client.chat.completions.create(request);
    const [choice] = answer.choices;
    return seen(choice.message, choice.finish_reason);
  }
  const request = { model: 'm', prompt: `form ${i}` };
  if (!stream) {
    const [choice] = (await client.completions.create(request)).choices;
    return seen({ content: choice.text }, choice.finish_reason);
  }
  let all = '', finish = null;
  for await (const { choices: [choice] } of await client.completions.create({ ...request, stream: true })) {
    all += choice?.text ?? '';
    finish = choice?.finish_reason ?? finish;
  }
  return seen({ content: all }, finish);
}

const told = [];
for (const [i, form] of forms.entries()) {
  const outcome = await ask(form, i).catch(e => ({ error: text(e.message) }));
  told.push({ name: form.name, kind: form.kind, stream: form.stream, outcome });
}
process.stdout.write(JSON.stringify({ port, version: VERSION, forms: told }) + '\n');
process.stdin.on('end', () => process.exit(0)).resume();
