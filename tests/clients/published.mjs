// The TypeScript SDK 2.x as a client of a gateway before published servers (`everything`, `files`, `memory`, `time`):
// uses each of them and says what it saw, as JSON.
//
// usage: published.mjs [--mode legacy|modern] --url URL, in the directory that is its only root

import { pathToFileURL } from 'node:url';
import { capabilities, clientInfo, load, parseArguments, sampleAnswer } from './steps.mjs';

const { Client, StreamableHTTPClientTransport } = load('@modelcontextprotocol/client');

const { mode, url } = parseArguments(['legacy', 'modern']);
const negotiation = { legacy: 'legacy', modern: { pin: '2026-07-28' } };
const here = process.cwd();
const client = new Client(clientInfo, {
  capabilities: { ...capabilities, roots: {} },
  versionNegotiation: { mode: negotiation[mode] },
});
client.setRequestHandler('elicitation/create', async () => ({ action: 'accept', content: { name: 'Ada', check: true } }));
client.setRequestHandler('sampling/createMessage', async () => sampleAnswer);
client.setRequestHandler('roots/list', async () => ({ roots: [{ uri: pathToFileURL(here).href, name: 'here' }] }));
const updates = [];
let updated;
client.setNotificationHandler('notifications/resources/updated', ({ params }) => updated?.(params.uri));

const transport = new StreamableHTTPClientTransport(url);
await client.connect(transport);

const call = (name, given = {}, options = {}) => client.callTool({ name, arguments: given }, options);
const texts = ({ content }) => content.map((block) => block.text ?? block.type);
const entity = (name) => ({ entities: [{ name, entityType: 'person', observations: ['writes'] }] });

const { tools } = await client.listTools();
const { prompts } = await client.listPrompts();
const { resources } = await client.listResources();
const echo = texts(await call('everything.echo', { message: 'hello ☃' }));
const steps = [];
// The SDK tells rounds of questions as progress too, without a total.
const onprogress = ({ progress, total }) => { if (total) steps.push(progress); };
const long = texts(await call('everything.trigger-long-running-operation', { duration: 0.4, steps: 4 }, { onprogress }));
const elicited = texts(await call('everything.trigger-elicitation-request'));
const sampled = texts(await call('everything.trigger-sampling-request', { prompt: 'What?', maxTokens: 20 }));
const roots = texts(await call('everything.get-roots-list'));
// The server asks for roots when it starts, and answers calls meanwhile.
for (let tries = 0; !texts(await call('files.list_allowed_directories'))[0].includes(here); tries += 1) {
  if (tries === 100) throw new Error('its roots were not taken');
}
await call('files.write_file', { path: `${here}/note.txt`, content: 'written by a client' });
const file = texts(await call('files.read_text_file', { path: `${here}/note.txt` }));
const outside = await call('files.read_text_file', { path: '/etc/hostname' });
await call('memory.create_entities', entity('Ada'));
const graph = await call('memory.read_graph');
const time = await call('time.get_current_time', { timezone: 'Europe/Zurich' });
const document = await client.readResource({ uri: 'everything+demo://resource/static/document/features.md' });
const dynamic = await client.readResource({ uri: 'everything+demo://resource/dynamic/text/7' });
const prompt = await client.getPrompt({ name: 'everything.args-prompt', arguments: { city: 'Bern' } });
const { completion } = await client.complete({
  ref: { type: 'ref/prompt', name: 'everything.completable-prompt' },
  argument: { name: 'department', value: 'E' },
});

const told = new Promise((resolve) => { updated = resolve; });
const uri = 'memory+memory://knowledge-graph';
const watch = mode === 'modern'
  ? await client.listen({ resourceSubscriptions: [uri] })
  : await client.subscribeResource({ uri });
await call('memory.create_entities', entity('Grace'));
updates.push(await Promise.race([told, new Promise((_, reject) => setTimeout(reject, 20_000, 'nobody told').unref())]));
await (watch.close?.() ?? client.unsubscribeResource({ uri }));

const abort = new AbortController();
const given = { duration: 60, steps: 300 };
const cancelled = await call('everything.trigger-long-running-operation', given, {
  signal: abort.signal,
  onprogress: () => abort.abort('the test cancels'),
}).then(texts, () => 'cancelled');
const again = texts(await call('everything.echo', { message: 'still here' }));

console.log(JSON.stringify({
  tools: tools.map((tool) => tool.name),
  prompts: prompts.map((prompt) => prompt.name),
  resources: resources.map((resource) => resource.uri),
  echo,
  steps,
  long,
  elicited,
  sampled,
  roots,
  file,
  outside: outside.isError === true,
  graph: graph.structuredContent.entities.map((entity) => entity.name),
  time: JSON.parse(texts(time)[0]).timezone,
  document: document.contents[0].uri,
  dynamic: dynamic.contents[0].uri,
  prompt: prompt.messages[0].content.text,
  completed: completion.values,
  updates,
  cancelled,
  again,
}));
await transport.terminateSession?.();
await client.close();
