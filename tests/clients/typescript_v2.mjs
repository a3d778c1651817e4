// The TypeScript SDK 2.x as a client of the demonstration tools: Streamable HTTP, HTTP+SSE, stdio, both eras.
//
// usage: typescript_v2.mjs [--mode legacy|modern|auto|sse] (--url URL | --stdio CMD ARGS...)
//
// `modern` pins 2026-07-28: the SDK then answers `input_required` results by itself, with the same two
// handlers that answer a server's requests in the session era, and calls again.

import { capabilities, clientInfo, elicitAnswer, load, parseArguments, run, sampleAnswer } from './steps.mjs';

const { Client, SSEClientTransport, StreamableHTTPClientTransport } = load('@modelcontextprotocol/client');
const { StdioClientTransport } = load('@modelcontextprotocol/client/stdio');

const { mode, url, command, args, interrupted, without } = parseArguments(['legacy', 'modern', 'auto', 'sse']);

const negotiation = { legacy: 'legacy', sse: 'legacy', auto: 'auto', modern: { pin: '2026-07-28' } };
const client = new Client(clientInfo, { capabilities, versionNegotiation: { mode: negotiation[mode] } });
client.setRequestHandler('elicitation/create', async () => elicitAnswer);
client.setRequestHandler('sampling/createMessage', async () => sampleAnswer);
client.onerror = (error) => console.error('client:', error.message);

const transport = command
  ? new StdioClientTransport({ command, args })
  : mode === 'sse'
    ? new SSEClientTransport(url)
    : new StreamableHTTPClientTransport(url);

await run({
  url,
  interrupted,
  without,
  client,
  connect: () => client.connect(transport),
  negotiatedVersion: () => client.getNegotiatedProtocolVersion(),
  callTool: (params, options) => client.callTool(params, options),
  close: async () => {
    // Closing alone leaves the session behind; a polite client ends it (DELETE).
    await transport.terminateSession?.();
    await client.close();
  },
});
