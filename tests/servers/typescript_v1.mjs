// A server of the TypeScript SDK 1.x on standard input and output, over HTTP+SSE, or over HTTP with a
// store of events.
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const require = createRequire(pathToFileURL(process.env.TEST_TOOLS + '/'));
const load = async (name) => import(pathToFileURL(require.resolve(name)));
const { McpServer } = await load('@modelcontextprotocol/sdk/server/mcp.js');
const { z } = await load('zod');

function server() {
    const mcp = new McpServer({ name: 'typescript', version: '1' });
    mcp.registerTool('add', { description: 'Adds.', inputSchema: { a: z.number(), b: z.number() } },
        async ({ a, b }) => ({ content: [{ type: 'text', text: String(a + b) }] }));
    mcp.registerTool('name', { description: 'Asks for a name.', inputSchema: {} }, async () => {
        const answer = await mcp.server.elicitInput({
            message: 'Who?',
            requestedSchema: { type: 'object', properties: { name: { type: 'string' } }, required: ['name'] },
        });
        return { content: [{ type: 'text', text: answer.content?.name ?? answer.action }] };
    });
    mcp.registerTool('count', { description: 'Counts to three.', inputSchema: {} }, async (_, { _meta, sendNotification }) => {
        for (let progress = 1; progress <= 3; progress += 1) {
            const params = { progressToken: _meta.progressToken, progress, total: 3 };
            await sendNotification({ method: 'notifications/progress', params });
        }
        return { content: [{ type: 'text', text: 'three' }] };
    });
    mcp.registerTool('think', { description: 'Asks the model.', inputSchema: {} }, async () => {
        const messages = [{ role: 'user', content: { type: 'text', text: 'What?' } }];
        const said = await mcp.server.createMessage({ messages, maxTokens: 20 });
        return { content: [said.content] };
    });
    // Leaves its client to come back for the answer.
    mcp.registerTool('poll', { description: 'Closes the stream first.', inputSchema: {} }, async (_, extra) => {
        extra.closeSSEStream?.();
        await new Promise((resolve) => setTimeout(resolve, 100));
        return { content: [{ type: 'text', text: 'later' }] };
    });
    return mcp;
}

if (process.argv.includes('--stdio')) {
    const { StdioServerTransport } = await load('@modelcontextprotocol/sdk/server/stdio.js');
    await server().connect(new StdioServerTransport());
} else if (process.argv.includes('--sse')) {
    const { SSEServerTransport } = await load('@modelcontextprotocol/sdk/server/sse.js');
    const sessions = new Map();
    const http = createServer(async (request, response) => {
        const url = new URL(request.url, 'http://localhost');
        if (request.method === 'GET' && url.pathname === '/sse') {
            const transport = new SSEServerTransport('/messages', response);
            sessions.set(transport.sessionId, transport);
            await server().connect(transport);
        } else if (request.method === 'POST' && url.pathname === '/messages') {
            await sessions.get(url.searchParams.get('sessionId')).handlePostMessage(request, response);
        } else {
            response.writeHead(404).end();
        }
    });
    http.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${http.address().port}/sse`));
} else {
    const { StreamableHTTPServerTransport } = await load('@modelcontextprotocol/sdk/server/streamableHttp.js');
    const kept = [];
    const eventStore = {
        storeEvent: async (stream, message) => `${stream}_${kept.push({ stream, message }) - 1}`,
        getStreamIdForEventId: async (id) => id.slice(0, id.lastIndexOf('_')),
        replayEventsAfter: async (last, { send }) => {
            const stream = last.slice(0, last.lastIndexOf('_'));
            const from = Number(last.slice(last.lastIndexOf('_') + 1)) + 1;
            for (let at = from; at < kept.length; at += 1) {
                const { stream: theirs, message } = kept[at];
                if (theirs === stream && Object.keys(message).length > 0) await send(`${stream}_${at}`, message);
            }
            return stream;
        },
    };
    const sessions = new Map();
    const http = createServer(async (request, response) => {
        let transport = sessions.get(request.headers['mcp-session-id']);
        if (!transport) {
            transport = new StreamableHTTPServerTransport({
                sessionIdGenerator: randomUUID, eventStore, retryInterval: 50,
                onsessioninitialized: (id) => sessions.set(id, transport),
            });
            await server().connect(transport);
        }
        await transport.handleRequest(request, response);
    });
    http.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${http.address().port}/mcp`));
}
