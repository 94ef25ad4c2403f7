import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import type { AppId, BootId, DeviceId, GatewayName } from '../protocol/ids.ts';
import { verifyToken } from '../runtime/credentials.ts';
import { openSqliteStore } from '../store/sqlite/sqlite-store.ts';
import { bearerOf } from './api.ts';
import { aRegistry } from './fixtures.ts';
import type { TestRegistry } from './fixtures.ts';

const closers: (() => unknown)[] = [];
after(async () => {
  for (const close of closers.reverse()) await close();
});
async function started(...over: Parameters<typeof aRegistry>): Promise<TestRegistry> {
  const registry = await aRegistry(...over);
  closers.push(() => registry.role.kill());
  return registry;
}

describe('a running registry', () => {
  test('answers browsers of any origin, without cookies', async () => {
    const { send } = await started();
    const preflight = await send('OPTIONS', '/v1/register', {});
    assert.equal(preflight.status, 204);
    assert.equal(preflight.headers.get('access-control-allow-origin'), '*');
    assert.match(preflight.headers.get('access-control-allow-headers')!, /authorization, content-type/);
    assert.equal(preflight.headers.get('access-control-allow-credentials'), null);
    const refused = await send('POST', '/v1/register', { text: '{}' });
    assert.equal(refused.headers.get('access-control-allow-origin'), '*');
  });

  test('is ready once it knows apps and gateways, whether or not its store answers', async () => {
    const { admin } = await started({ storeDown: true });
    const ready = await admin('/readyz');
    assert.equal(ready.status, 200);
    assert.deepEqual(JSON.parse(ready.text), { ready: true, routing: 'r1', apps: 'r1', gateways: 4, store: false });
    const unready = await (await started({ documents: false })).admin('/readyz');
    assert.equal(unready.status, 503);
  });

  test('counts requests by outcome, assignments by gateway, tokens, and failures of the store', async () => {
    const { send, token, admin, stored } = await started();
    await token();
    await send('POST', '/v1/renew', { bearer: 'a.b.c' });
    stored.state.down = true;
    await token();
    const { text } = await admin('/metrics');
    for (const line of [
      'pushcluster_registry_requests_total{route="register",outcome="ok"} 2',
      'pushcluster_registry_requests_total{route="renew",outcome="unauthenticated"} 1',
      'pushcluster_registry_tokens_issued_total 2',
      'pushcluster_registry_store_failures_total{operation="registerDevice"} 1',
      'pushcluster_registry_gateways_eligible 4',
      'pushcluster_registry_request_seconds_count{route="register"} 2',
    ])
      assert.ok(text.includes(`${line}\n`), `${line}\n${text}`);
    assert.match(text, /pushcluster_registry_assignments_total\{gateway="[a-d]"\} 2/);
  });

  test('says its trace id, or the caller’s, with each answer', async () => {
    const { send } = await started();
    const answer = await send('POST', '/v1/assign', { headers: { 'x-trace-id': 'mine-1' } });
    assert.equal((answer.body as { error: { traceId: string } }).error.traceId, 'mine-1');
  });

  test('leaves no timer and no port behind when it stops', async () => {
    const { role, clock, send } = await aRegistry();
    await role.stop();
    assert.equal(clock.pending(), 0);
    await assert.rejects(send('GET', '/v1/openapi.json', {}));
  });

  test('is refused when its port is taken, and leaves no timer behind', async () => {
    const holder = createServer();
    await new Promise<void>((resolve) => holder.listen(0, '127.0.0.1', resolve));
    closers.push(() => holder.close());
    await assert.rejects(aRegistry({ httpPort: (holder.address() as AddressInfo).port }), { code: 'EADDRINUSE' });
  });

  test('runs beside another of the same process, each with its own counts', async () => {
    const [one, two] = [await started(), await started()];
    await one.token();
    const metric = 'pushcluster_registry_tokens_issued_total';
    assert.match((await one.admin('/metrics')).text, new RegExp(`${metric} 1`));
    assert.match((await two.admin('/metrics')).text, new RegExp(`${metric} 0`));
  });
});

test('over a real store, a device that was closed and registers again at once is let in, its older token is not', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'pushcluster-registry-'));
  closers.push(() => rmSync(dir, { recursive: true }));
  const registry = await started({
    openStore: (clock) => Promise.resolve(openSqliteStore({ path: join(dir, 'store.db'), clock })),
    leases: ['a'],
  });
  const { store, clock, keys } = registry;
  closers.push(() => store.close());
  const claimsOf = (token: string) => {
    const verdict = verifyToken(token, { keys: keys.current(), cluster: 'demo', nowMs: clock.nowMs() });
    return verdict.kind === 'valid' ? verdict.claims : assert.fail(verdict.kind);
  };
  const open = (token: string) => {
    const { app, account, device, iat } = claimsOf(token);
    const gateway = { gateway: 'a' as GatewayName, bootId: 'a-1' as BootId };
    return store.openSession({ app, account, device, expectGeneration: null, permittedAtMs: iat * 1000, ...gateway });
  };
  const first = await registry.token();
  const app = 'shop' as AppId;
  assert.deepEqual(await store.tokenClient(app, claimsOf(first).jti), { account: 'ada', device: 'phone-1' });
  clock.advance(2000); // the store compares with whole seconds
  const closed = await registry.send('DELETE', '/v1/device', { bearer: first });
  assert.deepEqual(closed.body, { device: 'phone-1', closed: true });
  assert.equal(await store.tokenClient(app, claimsOf(first).jti), null);
  assert.equal(await store.device(app, 'phone-1' as DeviceId), null);
  assert.equal((await registry.send('POST', '/v1/renew', { bearer: first })).status, 401);
  clock.advance(5);
  const second = await registry.token();
  assert.equal((await open(second)).kind, 'opened');
  assert.equal((await open(first)).kind, 'revoked');
});

test('a bearer is read from the header in any case, and nothing else is', () => {
  assert.equal(bearerOf('Bearer a.b-c_d'), 'a.b-c_d');
  assert.equal(bearerOf('bearer  a'), 'a');
  for (const header of [undefined, '', 'Bearer', 'Basic a', 'Bearer a b', 'Bearer é'])
    assert.equal(bearerOf(header), null);
});
