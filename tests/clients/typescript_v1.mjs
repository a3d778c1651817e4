// The TypeScript SDK 1.x as a client of the demonstration tools: Streamable HTTP, HTTP+SSE, stdio.
//
// usage: typescript_v1.mjs [--mode legacy|sse] (--url URL | --stdio CMD ARGS...)

import { capabilities, clientInfo, elicitAnswer, load, parseArguments, run, sampleAnswer } from './steps.mjs';

const { Client } = load('@modelcontextprotocol/sdk/client/index.js');
const { SSEClientTransport } = load('@modelcontextprotocol/sdk/client/sse.js');
const { StdioClientTransport } = load('@modelcontextprotocol/sdk/client/stdio.js');
const { StreamableHTTPClientTransport } = load('@modelcontextprotocol/sdk/client/streamableHttp.js');
const { CreateMessageRequestSchema, ElicitRequestSchema } = load('@modelcontextprotocol/sdk/types.js');

const { mode, url, command, args, interrupted, without } = parseArguments(['legacy', 'sse']);

const client = new Client(clientInfo, { capabilities });
client.setRequestHandler(ElicitRequestSchema, async () => elicitAnswer);
client.setRequestHandler(CreateMessageRequestSchema, async () => sampleAnswer);
client.onerror = (error) => console.error('client:', error.message);

const transport = command
  ? new StdioClientTransport({ command, args })
  : mode === 'sse'
    ? new SSEClientTransport(url)
    : new StreamableHTTPClientTransport(url);

// The client keeps the negotiated version to itself, but it tells the transport.
let negotiated;
const announce = transport.setProtocolVersion?.bind(transport);
transport.setProtocolVersion = (version) => {
  negotiated = version;
  announce?.(version);
};

await run({
  url,
  interrupted,
  without,
  client,
  connect: () => client.connect(transport),
  negotiatedVersion: () => negotiated,
  callTool: (params, options) => client.callTool(params, undefined, options),
  close: async () => {
    // Closing alone leaves the session behind; a polite client ends it (DELETE).
    await transport.terminateSession?.();
    await client.close();
  },
});
