// An OpenID provider that does what companies' providers do, and on request what they should not.
//
// It says where it is, then serves until its input ends. `SETUP` is JSON: the resources it issues tokens for
// (`resources`, `upstreams`), the scopes, how long tokens are good (`seconds`), and the issuer whose identity
// assertions it redeems (`trusts`).
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const require = createRequire(pathToFileURL(process.env.TEST_TOOLS + '/'));
const load = async (name) => import(pathToFileURL(require.resolve(name)));
const { Provider, errors } = await load('oidc-provider');
const jose = await load('jose');

const setup = JSON.parse(process.env.SETUP);
const grant = (name) => `urn:ietf:params:oauth:grant-type:${name}`;
const tokenType = (name) => `urn:ietf:params:oauth:token-type:${name}`;
const now = () => Math.floor(Date.now() / 1000);

const server = createServer((request, response) => answer(request, response));
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const issuer = `http://127.0.0.1:${server.address().port}`;
// A resource of our own whose tokens say nothing to anybody but us.
const opaque = `${issuer}/opaque`;

// Keys

let made = 0;
async function makeKey(alg) {
    made += 1;
    const { privateKey } = await jose.generateKeyPair(alg, { extractable: true });
    return { ...(await jose.exportJWK(privateKey)), kid: `${alg}-${made}`, alg, use: 'sig' };
}
const makeKeys = async () => [await makeKey('RS256'), await makeKey('ES256')];
let keys = await makeKeys();

const published = () => ({ keys: keys.map(({ d, p, q, dp, dq, qi, ...open }) => open) });

async function sign(claims, header = {}, alg = 'RS256') {
    const key = keys.find((candidate) => candidate.alg === alg);
    const all = { iss: issuer, iat: now(), exp: now() + setup.seconds, jti: crypto.randomUUID(), ...claims };
    // What is null is left out.
    const said = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== null));
    const token = new jose.CompactSign(new TextEncoder().encode(JSON.stringify(said)));
    token.setProtectedHeader({ alg, kid: key.kid, typ: 'at+jwt', ...header });
    return token.sign(await jose.importJWK(key, alg));
}

async function verified(token, set, options) {
    try {
        return (await jose.jwtVerify(token ?? '', set, options)).payload;
    } catch (error) {
        throw new errors.InvalidGrant(error.code ?? 'token');
    }
}

// The provider

const clients = [
    {
        client_id: 'service', client_secret: 'service-secret-of-32-characters!', scope: setup.scopes,
        grant_types: ['client_credentials'], redirect_uris: [], response_types: [],
    },
    {
        client_id: 'gateway', client_secret: 'gateway:secret/of+32 characters%', scope: setup.scopes,
        grant_types: ['client_credentials', grant('token-exchange')], redirect_uris: [], response_types: [],
    },
    {
        client_id: 'host', token_endpoint_auth_method: 'none', application_type: 'native',
        scope: `openid offline_access ${setup.scopes}`, redirect_uris: ['http://127.0.0.1/callback'],
        grant_types: ['authorization_code', 'refresh_token', grant('token-exchange'), grant('jwt-bearer')],
    },
];

function resource(_, indicator) {
    const known = [...setup.resources, ...setup.upstreams, opaque];
    if (!known.includes(indicator)) throw new errors.InvalidTarget();
    return {
        scope: setup.scopes, audience: indicator, accessTokenTTL: setup.seconds,
        accessTokenFormat: indicator === opaque ? 'opaque' : 'jwt', jwt: { sign: { alg: 'RS256' } },
    };
}

// Accounts are called `tenant.user`. Whoever is hinted at is logged in, and consents to everything.
async function interact(provider, request, response) {
    const { prompt, params, session } = await provider.interactionDetails(request, response);
    if (prompt.name === 'login') {
        return provider.interactionFinished(request, response, { login: { accountId: params.login_hint } });
    }
    const given = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
    given.addOIDCScope(params.scope);
    for (const [indicator, scopes] of Object.entries(prompt.details.missingResourceScopes ?? {})) {
        given.addResourceScope(indicator, scopes.join(' '));
    }
    return provider.interactionFinished(request, response, { consent: { grantId: await given.save() } });
}

// RFC 8693: another token for the same person, or an identity assertion for another issuer.
async function exchange(ctx) {
    const { params, client } = ctx.oidc;
    const own = jose.createLocalJWKSet(published());
    const answer = { issued_token_type: params.requested_token_type, expires_in: setup.seconds };
    if (params.requested_token_type === tokenType('id-jag')) {
        const { sub } = await verified(params.subject_token, own, { issuer, audience: client.clientId });
        const { audience: aud, resource: at, scope } = params;
        const said = { sub, aud, resource: at, client_id: client.clientId, scope };
        const token = await sign(said, { typ: 'oauth-id-jag+jwt' });
        ctx.body = { ...answer, token_type: 'N_A', access_token: token };
        return;
    }
    const subject = await verified(params.subject_token, own, { issuer, audience: setup.resources, typ: 'at+jwt' });
    const aud = params.resource ?? params.audience;
    if (!setup.upstreams.includes(aud)) throw new errors.InvalidTarget();
    const token = await sign({
        sub: subject.sub, tenant: subject.tenant, aud, client_id: client.clientId, act: { sub: client.clientId },
        scope: params.scope ?? setup.scopes, exp: Math.min(now() + setup.seconds, subject.exp),
    });
    ctx.body = { ...answer, issued_token_type: tokenType('access_token'), token_type: 'Bearer', access_token: token };
}

// RFC 7523: a token for whom another issuer vouches, once for each assertion.
const redeemed = new Set();
async function redeem(ctx) {
    const { params, client } = ctx.oidc;
    const keysOfOther = jose.createRemoteJWKSet(new URL(`${setup.trusts}/jwks`));
    const expected = { issuer: setup.trusts, audience: issuer, typ: 'oauth-id-jag+jwt' };
    const said = await verified(params.assertion, keysOfOther, expected);
    const fits = said.client_id === client.clientId && setup.resources.includes(said.resource);
    if (!fits || redeemed.has(said.jti)) throw new errors.InvalidGrant('assertion');
    redeemed.add(said.jti);
    const { sub, scope } = said;
    const token = await sign({ sub, tenant: sub.split('.')[0], aud: said.resource, client_id: client.clientId, scope });
    ctx.body = { token_type: 'Bearer', expires_in: setup.seconds, scope, access_token: token };
}

function build() {
    const provider = new Provider(issuer, {
        jwks: { keys }, clients, scopes: ['openid', 'offline_access', ...setup.scopes.split(' ')],
        pkce: { required: () => true },
        cookies: { keys: ['of tests only'] },
        interactions: { url: (_, { uid }) => `/interaction/${uid}` },
        findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
        extraTokenClaims: (_, token) => ({ tenant: token.accountId?.split('.')[0], groups: ['analysts'] }),
        features: {
            devInteractions: { enabled: false }, clientCredentials: { enabled: true }, revocation: { enabled: true },
            registration: { enabled: true },
            introspection: { enabled: true, allowedPolicy: (_, client) => client.clientId === 'gateway' },
            resourceIndicators: {
                enabled: true, defaultResource: () => setup.resources[0], useGrantedResource: () => true,
                getResourceServerInfo: resource,
            },
        },
    });
    const exchanged = ['audience', 'resource', 'scope', 'requested_token_type', 'subject_token', 'subject_token_type',
        'actor_token', 'actor_token_type'];
    provider.registerGrantType(grant('token-exchange'), exchange, exchanged, ['audience', 'resource', 'scope']);
    provider.registerGrantType(grant('jwt-bearer'), redeem, ['assertion', 'scope']);
    const callback = provider.callback();
    return (request, response) => {
        if (!request.url.startsWith('/interaction/')) return callback(request, response);
        return interact(provider, request, response).catch((error) => response.writeHead(500).end(String(error)));
    };
}
let provider = build();

// What tests ask for

let fault = 'none';
const asked = {};

async function told(url) {
    const words = url.searchParams;
    switch (url.pathname) {
    case '/test/rotate': // New keys, which sign from now on. The old ones stay published where `keep` is said.
        keys = [...(await makeKeys()), ...(words.has('keep') ? keys : [])];
        provider = build();
        return keys[0].kid;
    case '/test/fault': // none, down, slow or garbage: for the keys and for questions about tokens.
        fault = words.get('is');
        return fault;
    case '/test/mint': { // A token of whatever is said, really signed.
        const { claims, header, alg } = JSON.parse(words.get('token'));
        return sign(claims, header, alg);
    }
    case '/test/asked': // How often a path was asked for.
        return String(asked[words.get('path')] ?? 0);
    default:
        throw new Error(`nobody knows ${url.pathname}`);
    }
}

async function answer(request, response) {
    const url = new URL(request.url, issuer);
    if (url.pathname.startsWith('/test/')) {
        return told(url).then((said) => response.end(said), (error) => response.writeHead(400).end(String(error)));
    }
    asked[url.pathname] = (asked[url.pathname] ?? 0) + 1;
    const isHit = ['/jwks', '/token/introspection'].includes(url.pathname);
    if (!isHit || fault === 'none') return provider(request, response);
    if (fault === 'down') return request.socket.destroy();
    // Whoever waits that long hears nothing either.
    if (fault === 'garbage') return response.end('{"keys":[');
}

process.stdin.on('end', () => process.exit()).resume();
console.log(issuer);
