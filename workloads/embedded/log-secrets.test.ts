// What a whole PushCluster hands to its log at level debug, while clients come with good and bad credentials, gateways die, webhooks fail and
// messages die: no token, ticket, credential, API key, private key, shared key or webhook key is in it, nor any message's body.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { inspect } from 'node:util';
import { KINDS } from '../../operator/kube/port.ts';
import { ANNOTATION_ADMIN_ADDRESS, ANNOTATION_CLIENT_ADDRESS } from '../../operator/types.ts';
import { NackError, openClient } from '../client/client.ts';
import { openMemoryStorage } from '../client/storage.ts';
import type { Storage } from '../client/storage.ts';
import { SUBPROTOCOL_JSON } from '../protocol/frames.ts';
import { systemClock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import { until } from './crowd.ts';
import { signDeviceCredential } from './demo-access.ts';
import { isReady, openEmbedded } from './embedded.ts';
import type { Embedded } from './embedded.ts';
import { readManifest } from './manifest.ts';

const HOOK_KEY = 'key-in-the-url-of-a-webhook';
const BODY = 'what-is-said-to-someone';
/** Whatever a caller without rights shows is as secret as what he should have shown: it may be a neighbour's. */
const FORGED = 'forged-credential-of-nobody';

/** Everything that is handed to the log, errors with their causes. */
function aLogThatKeeps(lines: string[]): Log {
  const keep = (keys: Readonly<Record<string, unknown>>, message: string): void => {
    lines.push(
      `${message} ${inspect(keys, { depth: 12, maxStringLength: null, maxArrayLength: null, breakLength: Infinity })}`,
    );
  };
  const log: Log = { debug: keep, info: keep, warn: keep, error: keep, child: (keys) => (keep(keys, 'child'), log) };
  return log;
}

const manifestOf = (hook: string): string => `
apiVersion: pushcluster.io/v1alpha1
kind: PushCluster
metadata: {name: demo}
spec:
  image: unused
  gateway: {replicas: 2}
  registry: {replicas: 1}
  router: {replicas: 2}
  bus: {kafka: {brokers: ["kafka:9092"]}}
  webhooks: {allowPrivateAddresses: true}
  upstream:
    handlers:
      - {kinds: [order], type: webhook, url: "${hook}/order?key=${HOOK_KEY}"}
---
apiVersion: pushcluster.io/v1alpha1
kind: PushApp
metadata: {name: shop}
spec:
  clusterRef: {name: demo}
  allowedTopics: ["news"]
  webhook: {url: "${hook}/events?key=${HOOK_KEY}"}
---
apiVersion: pushcluster.io/v1alpha1
kind: PushApp
metadata: {name: other}
spec:
  clusterRef: {name: demo}
  authWebhook: {url: "${hook}/sign-in?key=${HOOK_KEY}"}
`;

/** A webhook that fails: by its status, by cutting the connection, by an answer that is none. */
async function aFailingWebhook(t: TestContext): Promise<{ url: string; asked: () => number }> {
  let asked = 0;
  const server = createServer((request, response) => {
    asked++;
    if (asked % 3 === 0) request.destroy();
    else if (asked % 3 === 1) response.writeHead(500).end(FORGED);
    else response.writeHead(200, { 'content-type': 'application/json' }).end(`{${FORGED}`);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked: () => asked };
}

/** All that is private in the cluster's Secrets: of keys their private parts, anything else as a whole. */
async function secretsOf(embedded: Embedded): Promise<string[]> {
  const found: string[] = [];
  const gather = (value: unknown, name: string): void => {
    if (typeof value === 'object' && value !== null) for (const [key, each] of Object.entries(value)) gather(each, key);
    else if (typeof value === 'string' && ['secret', 'd'].includes(name)) found.push(value);
  };
  const { items } = await embedded.kube.list(KINDS.secret, {});
  for (const secret of items)
    for (const encoded of Object.values((secret['data'] ?? {}) as Record<string, string>)) {
      const text = Buffer.from(encoded, 'base64').toString();
      if (text.startsWith('[')) gather(JSON.parse(text), '');
      else found.push(text);
    }
  return found;
}

/** A client whose handler fails for good; every credential that it shows or is given goes into `secrets`. */
async function aClient(embedded: Embedded, device: string, secrets: Set<string>) {
  const who = { app: 'shop', account: `account-of-${device}`, device };
  const inner = openMemoryStorage();
  const storage: Storage = {
    load: () => inner.load(),
    close: () => inner.close(),
    save(changes) {
      for (const given of [changes.session?.token?.value, changes.session?.ticket])
        if (typeof given === 'string') secrets.add(given);
      return inner.save(changes);
    },
  };
  const client = await openClient({
    registryUrl: (await embedded.status())!.registryAddress!,
    ...who,
    credential: async () => {
      const credential = await signDeviceCredential(embedded.access, who);
      secrets.add(credential);
      return credential;
    },
    storage,
    onMessage: () => new NackError('never', { final: 'dead' }),
  });
  await client.subscribe('news');
  return client;
}

/** What a gateway closes a hello with. */
function hello(url: string, frame: object): Promise<number> {
  return new Promise((resolve) => {
    const socket = new WebSocket(url, SUBPROTOCOL_JSON);
    socket.addEventListener('open', () => socket.send(JSON.stringify({ type: 'hello', version: 1, ...frame })));
    socket.addEventListener('close', ({ code }) => resolve(code));
  });
}

/** Every door, with credentials that open none; answers the statuses. */
async function knock(embedded: Embedded): Promise<Set<number>> {
  const { registryAddress, routerAddress } = (await embedded.status())!;
  const pods = (await embedded.kube.list(KINDS.pod, {})).items;
  const annotated = (name: string): string[] => pods.flatMap(({ metadata }) => metadata.annotations?.[name] ?? []);
  const statuses = new Set<number>();
  const ask = async (url: string, body: unknown, bearer = FORGED): Promise<void> => {
    const headers = { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' };
    const answer = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
    statuses.add(answer.status);
    await answer.body?.cancel();
  };
  const device = { account: 'nobody', device: 'none' };
  const { apiKey } = embedded.access;
  await ask(`${registryAddress}/v1/register`, { app: 'shop', ...device, credential: { token: FORGED } });
  await ask(`${registryAddress}/v1/register`, { app: 'shop', ...device, credential: FORGED });
  for (let i = 0; i < 3; i++)
    await ask(`${registryAddress}/v1/register`, {
      app: 'other',
      ...device,
      credential: { webhook: { password: FORGED } },
    });
  for (const path of ['renew', 'assign']) await ask(`${registryAddress}/v1/${path}`, {});
  await ask(`${routerAddress}/v1/messages`, { target: { topic: 'news' }, body: BODY });
  await ask(`${routerAddress}/v1/messages`, { target: { topic: 'news' }, body: BODY, ttlMs: BODY }, apiKey);
  await ask(`${routerAddress}/v1/messages`, { target: { topic: BODY }, body: BODY }, apiKey);
  for (const address of annotated(ANNOTATION_ADMIN_ADDRESS)) await ask(`${address}/v1/drain`, {});
  for (const address of annotated(ANNOTATION_CLIENT_ADDRESS))
    for (const frame of [{ token: FORGED }, { ticket: FORGED }, { token: `a.${FORGED}.c` }, { [FORGED]: 1 }])
      assert.ok((await hello(address, frame)) >= 4000);
  return statuses;
}

test('no secret and no body is handed to the log, whatever is shown, refused, resumed, or fails', async (t) => {
  const lines: string[] = [];
  const webhook = await aFailingWebhook(t);
  const embedded = await openEmbedded({
    manifest: readManifest(manifestOf(webhook.url)),
    dataDir: null,
    portBase: 0,
    clock: systemClock,
    log: aLogThatKeeps(lines),
    activeMs: 50,
    env: { PUSHCLUSTER_LEASE_MS: '900', PUSHCLUSTER_LEASE_POLL_MS: '50', PUSHCLUSTER_STOP_GRACE_MS: '500' },
  });
  t.after(() => embedded.stop());
  const { apiKey, signer } = embedded.access;
  const secrets = new Set([apiKey, signer.privateJwk.d!, HOOK_KEY, FORGED, BODY]);
  await until('the cluster is Ready', async () => isReady(await embedded.status()));
  const clients = await Promise.all(['a', 'b', 'c'].map((device) => aClient(embedded, device, secrets)));
  const post = (message: object): Promise<Response> =>
    fetch(`${routerAddress}/v1/messages`, {
      method: 'POST',
      headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
      body: JSON.stringify({ body: BODY, ...message }),
    });
  const { routerAddress } = (await embedded.status())!;
  const statuses = await knock(embedded);
  assert.deepEqual(
    [400, 401, 502].filter((status) => !statuses.has(status)),
    [],
  );
  clients[0]!.send('order', BODY).catch(() => {});
  for (const target of [{ device: 'a' }, { account: 'account-of-b' }, { topic: 'news' }, { devices: ['a', 'b', 'c'] }])
    assert.equal((await post({ target })).status, 202);
  await until('dead letters are told of', () => webhook.asked() > 8);
  const victim = (await embedded.status())!.gateways[0]!.name;
  embedded.kill(victim);
  await until('everyone has resumed or stayed', () => clients.every((client) => client.state().kind === 'live'));
  await embedded.scale(1);
  await until('one gateway is left', async () => (await embedded.status())?.replicas === 1, 30_000);
  for (const secret of await secretsOf(embedded)) secrets.add(secret);
  await Promise.all(clients.map((client) => client.close()));
  for (const message of [
    'token issued',
    'auth webhook failed',
    'link opened',
    'request refused',
    'a notice is posted again later',
  ])
    assert.ok(
      lines.some((line) => line.startsWith(message)),
      `driven: ${message}`,
    );
  assert.ok(secrets.size > 15, `${secrets.size} secrets`);
  const leaks = lines.filter((line) => [...secrets].some((secret) => line.includes(secret)));
  assert.deepEqual(
    leaks.map((line) => line.slice(0, 300)),
    [],
  );
});
