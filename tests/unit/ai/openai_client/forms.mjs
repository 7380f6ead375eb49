// The forms: what a server may send. Each has a name, the kind of request (chat or complete), whether a stream is asked
// for, and the bytes of the whole response, in the pieces in which they are written.
import { gzipSync } from 'node:zlib';

const bytes = x => (Buffer.isBuffer(x) ? x : Buffer.from(x, 'utf8'));
const head = (status, type, more = '') =>
  `HTTP/1.1 ${status} S\r\n${type ? `Content-Type: ${type}\r\n` : ''}Connection: close\r\n${more}\r\n`;
const chunk = (delta, finish = null, more = {}) => ({
  id: 'c', object: 'chat.completion.chunk', created: 1, model: 'm',
  choices: [{ index: 0, delta, finish_reason: finish, ...more }],
});
const whole = (message, finish = 'stop', more = {}) => ({
  id: 'c', object: 'chat.completion', created: 1, model: 'm',
  choices: [{ index: 0, message: { role: 'assistant', ...message }, finish_reason: finish }], ...more,
});
const piece = (text, finish = null) => ({ id: 'c', object: 'text_completion', choices: [{ index: 0, text, finish_reason: finish }] });
const data = x => `data: ${typeof x === 'string' ? x : JSON.stringify(x)}\n\n`;
const DONE = 'data: [DONE]\n\n';
const ROLE = chunk({ role: 'assistant', content: '' });
const STOP = chunk({}, 'stop');
const word = (text, finish) => chunk({ content: text }, finish);
const tool = (t, finish) => chunk({ tool_calls: [t] }, finish);
const call = (index, id, name, args) => ({ index, id, type: 'function', function: { name, arguments: args } });
const more = (index, args) => ({ index, function: { arguments: args } });

export const forms = [];
const add = (name, kind, stream, ...pieces) => forms.push({ name, kind, stream, pieces: pieces.map(bytes) });
const sse = (name, body, kind = 'chat') => add(name, kind, true, Buffer.concat([bytes(head(200, 'text/event-stream')), bytes(body)]));
// The official helper wants a role in the first delta.
const chat = (name, body) => sse(name, data(ROLE) + body);

// Framings of the same events, and how streams end.
const bodies = {
  text: [ROLE, word('a'), word('é€😀'), STOP],
  tool: [ROLE, tool(call(0, 'x', 'f', '')), tool(more(0, '{"a":')), tool(more(0, '1}')), chunk({}, 'tool_calls')],
};
const endings = { done: DONE, none: '', 'done and a space': 'data: [DONE] \n\n', 'done without a blank line': 'data: [DONE]', 'two dones': DONE + DONE };
const framings = {
  lf: t => [t],
  crlf: t => [t.replaceAll('\n', '\r\n')],
  cr: t => [t.replaceAll('\n', '\r')],
  'without a space': t => [t.replaceAll('data: ', 'data:')],
  'a BOM': t => ['\ufeff' + t],
  comments: t => [t.replaceAll('data: {', ': OPENROUTER PROCESSING\n\n: ping\ndata: {')],
  'ids and retry': t => [t.replaceAll('data: {', 'id: 7\nretry: 10\ndata: {')],
  'event names': t => [t.replaceAll('data: {', 'event: chunk\ndata: {')],
  'unknown fields': t => [t.replaceAll('data: {', 'x-trace: 1\ndata: {')],
  'one byte at a time': t => [...bytes(t)].map(b => Buffer.from([b])),
  'seven bytes at a time': t => Array.from({ length: Math.ceil(bytes(t).length / 7) }, (_, i) => bytes(t).subarray(i * 7, i * 7 + 7)),
  'several data lines': t => [t.replaceAll('data: {', 'data: {\ndata: ')],
  'more blank lines': t => [t.replaceAll('\n\n', '\n\n\n\n')],
};
for (const [body, events] of Object.entries(bodies))
  for (const [framing, frame] of Object.entries(framings))
    for (const [ending, end] of Object.entries(endings)) {
      const pieces = frame(events.map(data).join('') + end);
      add(`${body}, framed as ${framing}, ended by ${ending}`, 'chat', true, head(200, 'text/event-stream'), ...pieces);
    }

// When is a stream whole?
for (const reason of ['', 'null', 'None', 'stop', 'length', 'content_filter', 'eos', 'error', false, 0])
  for (const [ending, end] of [['done', DONE], ['none', '']]) {
    const named = JSON.stringify(reason);
    chat(`finish_reason ${named}, ended by ${ending}`, data(word('a')) + data(chunk({}, reason)) + end);
    chat(`finish_reason ${named} in each chunk, then stop, ended by ${ending}`, data(word('a', reason)) + data(STOP) + end);
  }
for (const [name, body] of Object.entries({
  'nothing': '', 'blank lines': '\n\n', 'a comment': ': ping\n\n', 'only done': DONE, 'role, then done': data(ROLE) + DONE,
  'role': data(ROLE), 'role, twice': data(ROLE) + data(ROLE), 'a word': data(ROLE) + data(word('a')), 'a word, then done': data(ROLE) + data(word('a')) + DONE,
  'usage, then done': data(ROLE) + data({ id: 'c', choices: [], usage: { total_tokens: 1 } }) + DONE,
  'stop alone': data(ROLE) + data(STOP), 'stop without its blank line': data(ROLE) + data(word('a')) + data(STOP).trimEnd(),
  'half of the last event': data(ROLE) + data(word('a')) + data(STOP).slice(0, -12), 'half an event': data(ROLE) + data(word('a')).slice(0, -20),
  'half an event in the middle': data(ROLE) + data(word('a')) + data(word('b')).slice(0, -8) + '\n\n' + data(STOP) + DONE,
  'usage behind the end': data(ROLE) + data(word('a')) + data(STOP) + data({ id: 'c', choices: [], usage: { total_tokens: 3 } }) + DONE,
  'content behind done': data(ROLE) + data(word('a')) + data(STOP) + DONE + data(word('b')),
  'garbage behind stop': data(ROLE) + data(word('a')) + data(STOP) + 'data: garbage\n\n' + DONE,
  'a stop, then another reason': data(ROLE) + data(word('a')) + data(STOP) + data(chunk({}, 'length')) + DONE,
})) sse(`stream of ${name}`, body);

// Errors under 200.
const words = { error: { code: 400, message: 'the words', type: 'bad' } };
for (const [before, start] of [['first', ''], ['after a word', data(ROLE) + data(word('a'))], ['after the end', data(ROLE) + data(word('a')) + data(STOP)]])
  for (const [name, body] of Object.entries({
    'framed': data(words), 'as an event': 'event: error\n' + data(words), 'as an event of text': 'event: error\n' + data('the words'),
    'without a frame': JSON.stringify(words) + '\n\n', 'as a field': `error: ${JSON.stringify(words)}\n\n`,
    'as raw data': data('error: the words'), 'of vLLM': data({ object: 'error', message: 'the words', code: 400 }),
    'in a choice': data(chunk({}, 'error', { error: { message: 'the words' } })), 'as a text': data({ error: 'the words' }),
    'null beside a choice': data({ ...word('b'), error: null }), 'without words': data({ error: {} }),
  })) sse(`error ${name}, ${before}`, start + body + DONE);

// Whole answers, asked for or not.
const long = 'x'.repeat(5000);
for (const stream of [false, true])
  for (const type of ['application/json', 'text/plain; charset=utf-8', 'application/octet-stream', 'text/event-stream', 'text/html', ''])
    for (const [name, body] of Object.entries({
      'an answer': JSON.stringify(whole({ content: 'all of it é' })),
      'an answer with a BOM': '\ufeff' + JSON.stringify(whole({ content: 'all' })),
      'an answer in lines, then done': JSON.stringify(whole({ content: 'all' }), null, 2) + '\n\n' + DONE,
      'a page': '<!DOCTYPE html><html><head><title>Welcome</title></head></html>',
      'an error': JSON.stringify(words), 'no choices': JSON.stringify({ id: 'c', choices: [] }), 'a text': 'Ollama is running', 'half an answer': JSON.stringify(whole({ content: long })).slice(0, 4000),
    })) add(`${stream ? 'stream' : 'answer'}: ${name} as ${type || 'nothing'}`, 'chat', stream, head(200, type) + body);
for (const [name, message, finish] of [
  ['finish_reason null', { content: 'a' }, null], ['finish_reason ""', { content: 'a' }, ''], ['finish_reason "null"', { content: 'a' }, 'null'],
  ['content null', { content: null }, 'stop'], ['a refusal', { content: null, refusal: 'no' }, 'stop'], ['parts', { content: [{ type: 'text', text: 'a' }, { type: 'text', text: 'b' }] }, 'stop'],
  ['a tool call', { content: null, tool_calls: [{ id: 'x', type: 'function', function: { name: 'f', arguments: '{}' } }] }, 'tool_calls'],
  ['half a pair', { content: 'a\ud83d' }, 'stop'],
]) add(`answer: ${name}`, 'chat', false, head(200, 'application/json') + JSON.stringify(whole(message, finish)));
add('answer: without a role', 'chat', false, head(200, 'application/json') + JSON.stringify({ choices: [{ index: 0, message: { content: 'a' }, finish_reason: 'stop' }] }));
add('answer: NaN beside it', 'chat', false, head(200, 'application/json') + JSON.stringify(whole({ content: 'a' }, 'stop', { x: 1 })).replace('"x":1', '"x":NaN'));
add('answer: a bad byte', 'chat', false, head(200, 'application/json'), '{"choices":[{"index":0,"message":{"role":"assistant","content":"a', Buffer.from([0xff]), '"},"finish_reason":"stop"}]}');
add('answer: events that nobody asked for', 'chat', false, head(200, 'text/event-stream') + data(word('a')) + data(STOP) + DONE);
add('answer: an empty body', 'chat', false, head(200, 'application/json', 'Content-Length: 0\r\n'));

// Tool calls.
const end = data(chunk({}, 'tool_calls')) + DONE;
for (const [name, pieces] of Object.entries({
  'two, one behind the other': [call(0, 'x', 'f', '{}'), call(1, 'y', 'g', '{}')],
  'two, mixed': [call(0, 'x', 'f', '{"a'), call(1, 'y', 'g', '{"b'), more(1, '":2}'), more(0, '":1}')],
  'two under one index': [call(0, 'x', 'f', '{}'), call(0, 'y', 'g', '{}')],
  'two of one name under one index': [call(0, 'x', 'f', '{"p":1}'), call(0, 'y', 'f', '{"p":2}')],
  'id and name in each piece': [call(0, 'x', 'f', '{"a"'), call(0, 'x', 'f', ':1}')],
  'name later': [{ index: 0, id: 'x', type: 'function', function: { arguments: '' } }, { index: 0, function: { name: 'f', arguments: '{}' } }],
  'id later': [{ index: 0, type: 'function', function: { name: 'f', arguments: '' } }, { index: 0, id: 'x', function: { arguments: '{}' } }],
  'id and name later': [{ index: 0, type: 'function', function: { arguments: '' } }, call(0, 'x', 'f', '{}')],
  'empty id and name later': [call(0, 'x', 'f', '{'), { index: 0, id: '', type: 'function', function: { name: '', arguments: '}' } }],
  'null id and name later': [call(0, 'x', 'f', '{'), { index: 0, id: null, function: { name: null, arguments: '}' } }],
  'without an index': [{ id: 'x', type: 'function', function: { name: 'f', arguments: '{}' } }],
  'two without an index': [{ id: 'x', type: 'function', function: { name: 'f', arguments: '{}' } }, { id: 'y', type: 'function', function: { name: 'g', arguments: '{}' } }],
  'arguments null first': [{ index: 0, id: 'x', type: 'function', function: { name: 'f', arguments: null } }, more(0, '{}')],
  'arguments as an object': [{ index: 0, id: 'x', type: 'function', function: { name: 'f', arguments: {} } }],
  'without a type': [{ index: 0, id: 'x', function: { name: 'f', arguments: '{}' } }],
  'from index 1': [call(1, 'x', 'f', '{}')],
})) chat(`tool calls: ${name}`, pieces.map(p => data(tool(p))).join('') + end);
chat('tool calls: two in one delta', data(chunk({ tool_calls: [call(0, 'x', 'f', '{}'), call(1, 'y', 'g', '{}')] })) + end);
chat('tool calls: with content', data(word('a')) + data(tool(call(0, 'x', 'f', '{}'))) + end);

// Content.
const raw = content => `data: {"choices":[{"index":0,"delta":{"content":"${content}"},"finish_reason":null}]}\n\n`;
const stop = data(STOP) + DONE;
for (const [name, body] of Object.entries({
  'null first': data(chunk({ role: 'assistant', content: null })) + data(word('a')) + stop,
  'null beside reasoning': data(chunk({ content: null, reasoning_content: 'r' })) + data(word('a')) + stop,
  'parts': data(chunk({ content: [{ type: 'text', text: 'a' }] })) + stop, 'a refusal': data(chunk({ refusal: 'n' })) + data(chunk({ refusal: 'o' })) + stop,
  'a pair cut in two': raw('a\\ud83d') + raw('\\ude00b') + stop, 'half a pair': raw('a\\ud83d b') + stop, 'NaN beside it': raw('a').replace('null', 'null,"logprobs":NaN') + stop,
  'no choices between': data(word('a')) + data({ id: 'c', choices: [] }) + data(word('b')) + stop,
  'Azure first': data({ id: '', object: '', choices: [], prompt_filter_results: [] }) + data(word('a')) + stop,
  'a keep-alive of text': data(word('a')) + 'event: keepalive\ndata: ping\n\n' + stop, 'a keep-alive of JSON': data(word('a')) + 'event: ping\ndata: {"type":"ping"}\n\n' + stop,
  'data without a value': data(word('a')) + 'data:\n\n' + stop, 'a whole answer as an event': data(whole({ content: 'all' })) + DONE,
  'two choices': data({ ...ROLE, choices: [{ index: 0, delta: { content: 'a' }, finish_reason: null }, { index: 1, delta: { content: 'x' }, finish_reason: null }] }) + data({ ...ROLE, choices: [{ index: 0, delta: {}, finish_reason: 'stop' }, { index: 1, delta: {}, finish_reason: 'stop' }] }) + DONE,
  'a function call': data(chunk({ function_call: { name: 'f', arguments: '{' } })) + data(chunk({ function_call: { arguments: '}' } })) + data(chunk({}, 'function_call')) + DONE,
  'a delta that is null': data(word('a')) + data(chunk(null, 'stop')) + DONE, 'a number': data('17') + data(word('a')) + stop, 'null': data('null') + data(word('a')) + stop,
  'a long event': data(word(long.repeat(20))) + stop, 'many events': Array.from({ length: 300 }, (_, i) => data(word(`${i} `))).join('') + stop,
})) (name === 'null first' || name.startsWith('a whole') ? sse : chat)(`content: ${name}`, body);
add('content: a bad byte', 'chat', true, head(200, 'text/event-stream') + data(ROLE), 'data: {"choices":[{"index":0,"delta":{"content":"a', Buffer.from([0xff]), 'b"},"finish_reason":null}]}\n\n', stop);
add('content: half a character', 'chat', true, head(200, 'text/event-stream') + data(ROLE), 'data: {"choices":[{"index":0,"delta":{"content":"caf', Buffer.from([0xc3]), '"},"finish_reason":null}]}\n\n', raw('x'), stop);

// Statuses.
for (const status of [400, 401, 404, 408, 429, 500, 503])
  for (const [name, type, body] of [['JSON', 'application/json', JSON.stringify(words)], ['a page', 'text/html', '<html><title>no</title></html>'], ['nothing', '', ''], ['an event', 'text/event-stream', data(words)]])
    add(`status ${status} with ${name}`, 'chat', status % 2 === 0, head(status, type) + body);

// What the transport does.
const length = (n, body) => head(200, 'application/json', `Content-Length: ${n}\r\n`) + body;
const answer = JSON.stringify(whole({ content: 'all' }));
add('transport: shorter than its length, whole all the same', 'chat', false, length(answer.length + 10, answer));
add('transport: shorter than its length, and cut', 'chat', false, length(answer.length, answer.slice(0, -10)));
add('transport: longer than its length', 'chat', false, length(answer.length - 10, answer));
add('transport: nothing at all', 'chat', false, '');
add('transport: half a head', 'chat', true, 'HTTP/1.1 200 OK\r\nContent-Ty');
const chunked = (parts, last) => head(200, 'text/event-stream', 'Transfer-Encoding: chunked\r\n') + parts.map(p => `${bytes(p).length.toString(16)}\r\n${p}\r\n`).join('') + last;
add('transport: chunks', 'chat', true, chunked([data(ROLE), data(word('a')), stop], '0\r\n\r\n'));
add('transport: chunks without the last, after stop', 'chat', true, chunked([data(ROLE), data(word('a')), data(STOP)], ''));
add('transport: chunks without the last, in the middle', 'chat', true, chunked([data(ROLE), data(word('a'))], ''));
add('transport: gzip', 'chat', false, head(200, 'application/json', 'Content-Encoding: gzip\r\n'), gzipSync(answer));
add('transport: a stream in gzip', 'chat', true, head(200, 'text/event-stream', 'Content-Encoding: gzip\r\n'), gzipSync(data(ROLE) + data(word('a')) + stop));

// Completions.
for (const [name, body] of Object.entries({
  'text': data(piece('a')) + data(piece('b', 'stop')) + DONE, 'without done': data(piece('a', 'length')), 'cut': data(piece('a')), 'cut with ""': data(piece('a', '')),
  'done without a reason': data(piece('a')) + DONE, 'only done': DONE, 'an error': data(piece('a')) + data(words), 'empty text': data(piece('')) + data(piece('', 'stop')) + DONE,
})) sse(`completion stream: ${name}`, body, 'complete');
for (const [name, body] of Object.entries({ 'text': piece('a', 'stop'), 'no reason': piece('a'), 'no choices': { choices: [] }, 'an error': words }))
  add(`completion: ${name}`, 'complete', false, head(200, 'application/json') + JSON.stringify(body));
