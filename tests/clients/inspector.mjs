// The MCP Inspector's command line on the demonstration tools: Streamable HTTP, HTTP+SSE, stdio, both eras.
//
// usage: inspector.mjs [--mode legacy|modern|auto|sse] [--without STEP,...] (--url URL | --stdio CMD ARGS...)
//
// Each step is one command, hence one process and one connection of its own.

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { installed, parseArguments, run } from './steps.mjs';

const { mode, url, command, args, without } = parseArguments(['legacy', 'modern', 'auto', 'sse']);
const inspector = fileURLToPath(new URL('node_modules/.bin/mcp-inspector', installed));
const server = command
  ? ['--', command, ...args]
  : ['--transport', mode === 'sse' ? 'sse' : 'http', '--server-url', url.href];
const era = ['--protocol-era', mode === 'sse' ? 'legacy' : mode];

/** Runs one method and returns its result. */
async function inspect(method, ...options) {
  const given = [inspector, '--cli', '--format', 'json', ...era, '--method', method, ...options, ...server];
  const { stdout } = await promisify(execFile)(process.execPath, given);
  return JSON.parse(stdout).result;
}

let settled;

await run({
  url,
  client: {
    getServerVersion: () => settled.serverInfo,
    listTools: () => inspect('tools/list'),
    readResource: ({ uri }) => inspect('resources/read', '--uri', uri),
    getPrompt: ({ name, arguments: given }) =>
      inspect('prompts/get', '--prompt-name', name, '--prompt-args', ...Object.entries(given).map((pair) => pair.join('='))),
  },
  connect: async () => {
    settled = await inspect('initialize');
  },
  negotiatedVersion: () => settled.protocolVersion,
  callTool: ({ name, arguments: given }) =>
    inspect('tools/call', '--tool-name', name, '--tool-args-json', JSON.stringify(given)),
  close: async () => {},
  without,
});
