// A server of the TypeScript SDK 2.x on standard input and output or over HTTP, in both eras.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { Readable } from 'node:stream';
import { pathToFileURL } from 'node:url';

const require = createRequire(pathToFileURL(process.env.TEST_TOOLS + '/'));
const load = async (name) => import(pathToFileURL(require.resolve(name)));
const { McpServer, createMcpHandler, inputRequired, inputResponse } = await load('@modelcontextprotocol/server');
const { serveStdio } = await load('@modelcontextprotocol/server/stdio');
const { z } = await load('zod');

const text = (said) => ({ content: [{ type: 'text', text: said }] });

// What is asked there and then where there are sessions, the SDK does by itself.
function server() {
    const mcp = new McpServer({ name: 'typescript', version: '2' });
    const nothing = z.object({});
    mcp.registerTool('add', { description: 'Adds.', inputSchema: z.object({ a: z.number(), b: z.number() }) },
        async ({ a, b }) => text(String(a + b)));
    mcp.registerTool('count', { description: 'Counts to three.', inputSchema: nothing }, async (_, { mcpReq }) => {
        for (let progress = 1; progress <= 3; progress += 1) {
            const params = { progressToken: mcpReq._meta.progressToken, progress, total: 3 };
            await mcpReq.notify({ method: 'notifications/progress', params });
        }
        return text('three');
    });
    mcp.registerTool('name', { description: 'Asks for a name.', inputSchema: nothing }, async (_, { mcpReq }) => {
        const answer = inputResponse(mcpReq.inputResponses, 'name');
        if (answer.kind === 'elicit') return text(answer.content?.name ?? answer.action);
        const requestedSchema = { type: 'object', properties: { name: { type: 'string' } }, required: ['name'] };
        return inputRequired({ inputRequests: { name: inputRequired.elicit({ message: 'Who?', requestedSchema }) } });
    });
    mcp.registerTool('think', { description: 'Asks the model.', inputSchema: nothing }, async (_, { mcpReq }) => {
        const answer = inputResponse(mcpReq.inputResponses, 'turn');
        if (answer.kind === 'sampling') return { content: [answer.result.content] };
        const messages = [{ role: 'user', content: { type: 'text', text: 'What?' } }];
        return inputRequired({ inputRequests: { turn: inputRequired.createMessage({ messages, maxTokens: 20 }) } });
    });
    return mcp;
}

if (process.argv[2] === '--stdio') {
    serveStdio(server);
} else {
    const handler = createMcpHandler(server);
    const http = createServer(async (request, response) => {
        const left = new AbortController();
        response.on('close', () => left.abort());
        const hasBody = request.method === 'POST';
        const answer = await handler.fetch(new Request(`http://${request.headers.host}${request.url}`, {
            method: request.method, headers: request.headers, signal: left.signal,
            ...(hasBody && { body: Readable.toWeb(request), duplex: 'half' }),
        }));
        response.writeHead(answer.status, Object.fromEntries(answer.headers));
        if (answer.body) Readable.fromWeb(answer.body).on('error', () => response.destroy()).pipe(response);
        else response.end();
    });
    http.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${http.address().port}/mcp`));
}
