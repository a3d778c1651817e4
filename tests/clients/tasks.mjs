// The official tasks package beside the TypeScript SDK 2.x: one way to call tools, whichever generation of tasks the
// server speaks. Calls one tool that takes its time and one that asks, and says what came of them, as JSON.
//
// usage: tasks.mjs [--mode legacy|modern] [--without question] --url URL

import { clientInfo, installed, load, parseArguments } from './steps.mjs';

const { Client, StreamableHTTPClientTransport } = load('@modelcontextprotocol/client');
// It has no form that `load` could take.
const tasks = new URL('node_modules/@modelcontextprotocol/ext-tasks/dist/client/index.js', installed);
const { createTaskSessionFromClient, resultFromTaskOutcome, toolDeclarationFromMcpTool } = await import(tasks);

const { mode, url, without } = parseArguments(['legacy', 'modern']);
const protocolVersion = '2026-07-28';
const capabilities = { elicitation: {}, extensions: { 'io.modelcontextprotocol/tasks': {} } };
const negotiation = { legacy: 'legacy', modern: { pin: protocolVersion } };
const client = new Client(clientInfo, { capabilities, versionNegotiation: { mode: negotiation[mode] } });
await client.connect(new StreamableHTTPClientTransport(url));

// The SDK sends no requests of others' making, so the package asks for somebody who does.
let lastId = 0;
async function rawDispatch(request, { signal } = {}) {
  const { method, params } = request;
  const response = await fetch(url, {
    method: 'POST',
    signal,
    body: JSON.stringify({ jsonrpc: '2.0', id: ++lastId, ...request }),
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-protocol-version': protocolVersion,
      'mcp-method': method,
      ...((params.taskId ?? params.name) && { 'mcp-name': params.taskId ?? params.name }),
    },
  });
  const { result, error } = await response.json();
  return error ? { kind: 'error', error } : { kind: 'result', result };
}

const { tools } = await client.listTools();
const declared = new Map(tools.map((tool) => [tool.name, toolDeclarationFromMcpTool(tool)]));
setTimeout(() => process.exit(1), 60_000).unref();
const asked = [];
const session = createTaskSessionFromClient(client, {
  endpointId: 'switchboard',
  tools: { currentTool: (name) => declared.get(name) },
  onInputRequest: async ({ params }) => {
    asked.push(params.message);
    return { action: 'accept', content: { confirm: true } };
  },
  ...(mode === 'modern' && {
    rawDispatch,
    v2RequestFraming: { protocolVersion, clientInfo, clientCapabilities: capabilities },
  }),
});

async function call(name, given) {
  const execution = await session.callTool(name, given, { task: { preference: 'require' } });
  const { outcome } = await execution.settle();
  return { kind: execution.kind, text: resultFromTaskOutcome(outcome).content[0].text };
}

const slow = await call('slow_compute', { seconds: 1, label: 'sum' });
const confirmed = without.includes('question') ? null : await call('confirm_delete', { filename: 'a' });
console.log(JSON.stringify({ slow, confirmed, asked }));
await session.close();
await client.close();
