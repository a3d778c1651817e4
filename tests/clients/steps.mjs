// What the drivers on Node share: arguments, the fixed list of steps, one JSON line per step.
//
// A step has a deadline of its own, so a server that forgets an answer is reported under the step that
// waited for it. A failed step does not end the run (except `connect`): the lines together are the diagnosis.

import { createRequire } from 'node:module';

const STEP_DEADLINE_MS = 20_000;
const POLL_MS = 20;

/** Where `tests/run` installs packages, which no import can find from here. */
export const installed = new URL('../../target/test-tools/', import.meta.url);
export const load = createRequire(installed);

export const clientInfo = { name: 'switchboard-test-client', version: '1.0.0' };
export const capabilities = { elicitation: {}, sampling: {} };

// The answers this client gives when the server asks.
export const elicitAnswer = { action: 'accept', content: { name: 'Ada' } };
export const sampleAnswer = {
  role: 'assistant',
  model: 'test-model',
  stopReason: 'endTurn',
  content: { type: 'text', text: 'a short summary' },
};

/** Reads `--url URL | --stdio CMD ARGS...` and how to go about it; ends the process with 2 on bad usage. */
export function parseArguments(modes) {
  const given = process.argv.slice(2);
  const options = { mode: modes[0], without: [], interrupted: false };
  while (given.length > 0) {
    const flag = given.shift();
    if (flag === '--url') options.url = new URL(given.shift());
    else if (flag === '--mode') options.mode = given.shift();
    else if (flag === '--interrupted') options.interrupted = true;
    else if (flag === '--without') options.without = given.shift().split(',');
    else if (flag === '--stdio') [options.command, ...options.args] = given.splice(0);
    else usage(modes, `unknown argument ${flag}`);
  }
  if (!modes.includes(options.mode)) usage(modes, `unknown mode ${options.mode}`);
  if (!options.url === !options.command) usage(modes, 'give either --url or --stdio');
  if (options.mode === 'sse' && !options.url) usage(modes, '--mode sse needs --url');
  return options;
}

function usage(modes, complaint) {
  console.error(`${complaint}\nusage: [--mode ${modes.join('|')}] [--without STEP,...] [--interrupted] (--url URL | --stdio CMD ARGS...)`);
  process.exit(2);
}

/**
 * Runs every step against the demonstration tools and ends the process: 0 if all went well, else 1.
 *
 * `client` is an SDK client with its handlers set. `connect` and `close` hide the transport;
 * `callTool(params, requestOptions)` hides that the SDKs order its arguments differently; `url` is where the
 * server is, if it is there; `without` names the steps that this client cannot take.
 */
export async function run({ client, connect, negotiatedVersion, callTool, close, url, without = [], interrupted = false }) {
  let failed = false;
  const step = async (name, body) => {
    if (without.includes(name)) return true;
    let line;
    try {
      line = { step: name, ok: true, detail: await withDeadline(body()) };
    } catch (error) {
      failed = true;
      line = { step: name, ok: false, detail: describe(error) };
    }
    console.log(JSON.stringify(line));
    return line.ok;
  };

  const connected = await step('connect', async () => {
    await connect();
    return { protocol_version: negotiatedVersion(), server: client.getServerVersion()?.name };
  });
  if (!connected) process.exit(1);

  if (interrupted) {
    await step('survive', () => survive(callTool));
    await step('call', () => echo(callTool));
    await step('close', close);
    process.exit(failed ? 1 : 0);
  }

  await step('list', async () => {
    const { tools } = await client.listTools();
    check(tools.length > 0, 'no tools');
    return tools.map((tool) => tool.name);
  });

  await step('call', () => echo(callTool));

  await step('progress', async () => {
    // Five steps for three notifications: SDK 1.x handles an answer before the notification that came
    // with it, so the last one may be lost in the client.
    const seen = [];
    const result = await callTool(
      { name: 'countdown', arguments: { from: 5, interval_ms: 20 } },
      { onprogress: ({ progress }) => seen.push(progress) },
    );
    const text = textOf(result);
    check(seen.length >= 3, `only ${seen.length} progress notifications`);
    check(seen.every((value, i) => i === 0 || value > seen[i - 1]), `not increasing: ${seen}`);
    return { progress: seen, text };
  });

  await step('elicit', async () => {
    const text = textOf(await callTool({ name: 'ask_name', arguments: {} }));
    check(text.includes('Ada'), `the answer is missing: ${text}`);
    return text;
  });

  await step('sample', async () => {
    const text = textOf(await callTool({ name: 'summarize', arguments: { text: 'a long story about a short summary' } }));
    check(text.includes(sampleAnswer.content.text), `the sampled text is missing: ${text}`);
    return text;
  });

  await step('resource', async () => {
    const { contents } = await client.readResource({ uri: 'clock://now' });
    check(contents[0]?.text?.length > 0, `no text: ${JSON.stringify(contents)}`);
    return contents[0].text;
  });

  await step('prompt', async () => {
    const { messages } = await client.getPrompt({ name: 'greet', arguments: { name: 'Ada' } });
    check(messages.some((message) => message.content.text?.includes('Ada')), `no Ada: ${JSON.stringify(messages)}`);
    return messages.map((message) => message.content.text);
  });

  await step('cancel', async () => {
    const abort = new AbortController();
    const call = callTool(
      { name: 'countdown', arguments: { from: 1000, interval_ms: 50 } },
      { signal: abort.signal, onprogress: () => abort.abort('test cancels') },
    );
    const error = await call.then(() => undefined, (reason) => reason);
    check(error !== undefined, 'the cancelled call returned a result');
    check(abort.signal.aborted, `failed before it was cancelled: ${describe(error)}`);
    await serverGaveUp(url);
    // The same connection must still be of use.
    await echo(callTool);
    return describe(error);
  });

  await step('close', close);
  process.exit(failed ? 1 : 0);
}

/** Tells that a call runs, then how it ended and what was told meanwhile: the test judges. */
async function survive(callTool) {
  const seen = [];
  const onprogress = ({ progress }) => {
    seen.push(progress);
    if (seen.length === 3) console.log(JSON.stringify({ step: 'running', ok: true }));
  };
  const call = callTool({ name: 'countdown', arguments: { from: 40, interval_ms: 50 } }, { onprogress });
  return { end: await call.then(textOf, describe), progress: seen };
}

async function echo(callTool) {
  const sent = 'hello ☃';
  const text = textOf(await callTool({ name: 'echo', arguments: { text: sent } }));
  check(text === sent, `echo answered ${JSON.stringify(text)}`);
  return text;
}

/** Waits until the server counts a call given up: leaving would end it too, and hide that nothing was said. */
async function serverGaveUp(url) {
  if (!url) return; // A child has no page of metrics.
  for (;;) {
    const metrics = await (await fetch(new URL('/metrics', url))).text();
    if (/^mcp_requests_total{method="tools\/call",.*outcome="cancelled"} [1-9]/m.test(metrics)) return;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

function textOf(result) {
  check(!result.isError, `the tool failed: ${JSON.stringify(result.content)}`);
  const [first] = result.content;
  check(first?.type === 'text' && first.text.length > 0, `no text block: ${JSON.stringify(result.content)}`);
  return first.text;
}

function check(condition, complaint) {
  if (!condition) throw new Error(complaint);
}

function describe(error) {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}

async function withDeadline(work) {
  let timer;
  const deadline = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no end within ${STEP_DEADLINE_MS} ms`)), STEP_DEADLINE_MS);
  });
  try {
    return await Promise.race([work, deadline]);
  } finally {
    clearTimeout(timer);
  }
}
