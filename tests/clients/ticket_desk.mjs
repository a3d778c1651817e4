// The TypeScript SDK 2.x as a client of the ticket desk: works through a day of it and says what it saw, as JSON.
//
// usage: ticket_desk.mjs [--mode legacy|modern] (--url URL | --stdio CMD ARGS...)

import { capabilities, clientInfo, load, parseArguments, sampleAnswer } from './steps.mjs';

const { Client, StreamableHTTPClientTransport } = load('@modelcontextprotocol/client');
const { StdioClientTransport } = load('@modelcontextprotocol/client/stdio');

const { mode, url, command, args } = parseArguments(['legacy', 'modern']);
const negotiation = { legacy: 'legacy', modern: { pin: '2026-07-28' } };
const client = new Client(clientInfo, { capabilities, versionNegotiation: { mode: negotiation[mode] } });

const asked = [];
client.setRequestHandler('elicitation/create', async ({ params }) => {
  asked.push(params.message);
  return { action: 'accept', content: { reason: 'solved' } };
});
client.setRequestHandler('sampling/createMessage', async () => sampleAnswer);

const transport = command ? new StdioClientTransport({ command, args }) : new StreamableHTTPClientTransport(url);
await client.connect(transport);

const call = (name, given = {}, options = {}) => client.callTool({ name, arguments: given }, options);
const text = (result) => result.content[0].text;

const { tools } = await client.listTools();
for (const [title, severity] of [['printer on fire', 'high'], ['mouse is slow', 'low'], ['printer out of ink', 'low']]) {
  await call('open_ticket', { title, severity });
}
const found = await call('search_tickets', { text: 'printer' });
const refused = await call('open_ticket', { title: '', severity: 'grave' });
const closed = await call('close_ticket', { id: 1 });
const summary = await call('summarize_tickets');
const steps = [];
const exported = await call('export_tickets', {}, { onprogress: ({ progress }) => steps.push(progress) });
const hidden = await call('purge_tickets').then(() => 'it ran', (error) => error.message);
const read = await client.readResource({ uri: 'ticket://1' });
const missing = await client.readResource({ uri: 'ticket://99' }).then(() => 'it is there', (error) => error.message);
const completed = await client.complete({
  ref: { type: 'ref/resource', uri: 'ticket://{id}' },
  argument: { name: 'id', value: '' },
});
const prompt = await client.getPrompt({ name: 'triage', arguments: { area: 'printers' } });

console.log(JSON.stringify({
  tools: tools.map((tool) => tool.name),
  found: found.structuredContent.tickets.map((ticket) => ticket.title),
  refused: refused.isError === true,
  asked,
  closed: text(closed),
  summary: text(summary),
  steps,
  exported: text(exported).split('\n'),
  hidden,
  read: JSON.parse(read.contents[0].text),
  missing,
  completed: completed.completion.values,
  prompt: prompt.messages[0].content.text,
}));
await transport.terminateSession?.();
await client.close();
