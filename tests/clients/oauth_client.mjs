// The TypeScript SDKs as clients that are told to log in: from a refusal to a tool's answer, by what the SDK does alone.
//
// usage: oauth_client.mjs --sdk v1|v2 --mode legacy|modern --url URL --account ACCOUNT [--client ID]
//
// Without a client id it registers itself. The one thing done for it is what a person does: the pages of the provider are
// followed to the callback. The output is one JSON object.

import { clientInfo, load } from './steps.mjs';

const CALLBACK = 'http://127.0.0.1/callback';
const REDIRECTS_MAX = 12;

const given = process.argv.slice(2);
const options = {};
while (given.length > 0) options[given.shift().replace('--', '')] = given.shift();
const { sdk, mode, url, account, client: preregistered } = options;

/** Follows redirects with the cookies they set, up to the callback. */
async function logIn(first) {
  let next = new URL(first);
  // Whoever the provider is told of is logged in.
  next.searchParams.set('login_hint', account);
  const cookies = new Map();
  for (let step = 0; step < REDIRECTS_MAX; step += 1) {
    const cookie = [...cookies].map((pair) => pair.join('=')).join('; ');
    const answer = await fetch(next, { redirect: 'manual', headers: { cookie } });
    for (const set of answer.headers.getSetCookie()) {
      const [name, ...value] = set.split(';')[0].split('=');
      cookies.set(name, value.join('='));
    }
    const location = answer.headers.get('location');
    if (!location) throw new Error(`${next} leads nowhere: ${await answer.text()}`);
    next = new URL(location, next);
    if (next.href.startsWith(CALLBACK)) return next.searchParams;
  }
  throw new Error(`more than ${REDIRECTS_MAX} redirects`);
}

/** What the SDK asks its host for: it keeps what it is given, and nothing else. */
class Login {
  redirectUrl = CALLBACK;
  clientMetadata = {
    client_name: clientInfo.name, redirect_uris: [CALLBACK], application_type: 'native',
    token_endpoint_auth_method: 'none', grant_types: ['authorization_code'], response_types: ['code'],
  };
  asked = [];
  registered = 0;
  client = preregistered && { client_id: preregistered };

  clientInformation() { return this.client; }
  saveClientInformation(client) { this.registered += preregistered ? 0 : 1; this.client = client; }
  tokens() { return this.kept; }
  saveTokens(tokens) { this.kept = tokens; }
  codeVerifier() { return this.verifier; }
  saveCodeVerifier(verifier) { this.verifier = verifier; }
  async redirectToAuthorization(page) {
    this.asked.push(Object.fromEntries(page.searchParams));
    this.callback = await logIn(page);
  }
}

const { Client, StreamableHTTPClientTransport } = sdk === 'v1'
  ? { ...load('@modelcontextprotocol/sdk/client/index.js'), ...load('@modelcontextprotocol/sdk/client/streamableHttp.js') }
  : load('@modelcontextprotocol/client');
const negotiation = { legacy: 'legacy', modern: { pin: '2026-07-28' } };
const login = new Login();
const connect = async () => {
  const client = new Client(clientInfo, { capabilities: {}, versionNegotiation: { mode: negotiation[mode] } });
  const transport = new StreamableHTTPClientTransport(new URL(url), { authProvider: login });
  return { client, transport, outcome: await client.connect(transport).then(() => 'connected', (error) => error) };
};

let refusal;
let attempt = await connect();
if (attempt.outcome !== 'connected') {
  if (!login.callback) throw attempt.outcome;
  refusal = attempt.outcome.constructor.name;
  // The whole answer, or what SDKs took before they looked at `iss`.
  await attempt.transport.finishAuth(sdk === 'v1' ? login.callback.get('code') : login.callback);
  attempt = await connect();
}
if (attempt.outcome !== 'connected') throw attempt.outcome;
const { client } = attempt;
const { tools } = await client.listTools();
const { content } = await client.callTool({ name: 'echo', arguments: { text: 'logged in' } });
const { resource, scope, code_challenge_method: pkce } = login.asked[0];
console.log(JSON.stringify({
  refusal, asked: login.asked.length, registered: login.registered, resource, scope, pkce,
  tools: tools.map(({ name }) => name), text: content[0].text,
}));
await client.close();
