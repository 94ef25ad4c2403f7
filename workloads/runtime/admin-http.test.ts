import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Gauge, Registry } from 'prom-client';
import type { SymmetricKey } from '../protocol/credentials.ts';
import { startAdminHttp } from './admin-http.ts';
import type { HttpServer } from './http.ts';
import { silentLog } from './log.ts';

let server: HttpServer;
let ready = true;
let healthy = true;
let secrets: SymmetricKey[] = [];
const keyOf = (secret: string): SymmetricKey => ({ kid: secret, secret, createdAt: '2026-01-01' });

before(async () => {
  const registry = new Registry();
  new Gauge({ name: 'answer', help: 'To everything.', registers: [registry] }).set(42);
  server = await startAdminHttp({
    bind: '127.0.0.1',
    port: 0,
    log: silentLog,
    registry,
    healthy: () => healthy,
    readiness: () => ({ ready, details: { store: 'here' } }),
    routes: [{ method: 'GET', path: '/v1/thing', handler: () => ({ status: 200, body: { thing: 1 } }) }],
    secrets: () => secrets,
  });
});
after(() => server.kill());

async function get(
  path: string,
  authorization?: string,
): Promise<{ status: number; text: string; type: string | null }> {
  const headers = { connection: 'close', ...(authorization === undefined ? {} : { authorization }) };
  const response = await fetch(`http://127.0.0.1:${server.port}${path}`, { headers });
  return { status: response.status, text: await response.text(), type: response.headers.get('content-type') };
}

describe('the admin port of a role', () => {
  test('says whether it is healthy', async () => {
    assert.equal((await get('/healthz')).status, 200);
    healthy = false;
    assert.equal((await get('/healthz')).status, 503);
  });
  test('says whether it is ready, with details either way', async () => {
    assert.deepEqual(JSON.parse((await get('/readyz')).text), { ready: true, store: 'here' });
    ready = false;
    const { status, text } = await get('/readyz');
    assert.deepEqual([status, JSON.parse(text)], [503, { ready: false, store: 'here' }]);
  });
  test('shows its metrics in the text form', async () => {
    const { text, type } = await get('/metrics');
    assert.match(text, /^answer 42$/m);
    assert.match(type ?? '', /^text\/plain/);
  });

  const cases: readonly [title: string, keys: string[], authorization: string | undefined, status: number][] = [
    ['no credential', ['one'], undefined, 401],
    ['another scheme', ['one'], 'Basic one', 401],
    ['a wrong secret', ['one'], 'Bearer two', 401],
    ['the beginning of the secret', ['one'], 'Bearer on', 401],
    ['nothing where there are no keys', [], 'Bearer ', 401],
    ['the newest key', ['new', 'old'], 'Bearer new', 200],
    ['the key before, while it rotates', ['new', 'old'], 'Bearer old', 200],
  ];
  for (const [title, keys, authorization, status] of cases)
    test(`answers ${status} on /v1 to ${title}`, async () => {
      secrets = keys.map(keyOf);
      assert.equal((await get('/v1/thing', authorization)).status, status);
    });
});
