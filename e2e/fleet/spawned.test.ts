import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { startScriptedGateway, startScriptedRegistry } from '../../workloads/client/scripted-server.ts';
import type { Epoch, GatewayName, MessageId, TopicName } from '../../workloads/protocol/ids.ts';
import { makeAppKeys } from './app-token.ts';
import { readReceivedLogs } from './received-log.ts';
import { spawnFleet } from './spawned.ts';

test('a fleet in its own process connects, subscribes, logs what it is given, reconnects when cut, and stops', async () => {
  const gateway = await startScriptedGateway('gw-0');
  const epoch = 'e1' as Epoch;
  gateway.onFrame = (side, frame) => {
    if (frame.type === 'hello') {
      const base = { type: 'welcome', version: 1, generation: 1, heartbeatIntervalMs: 25_000 } as const;
      const streams = (frame.positions ?? []).map((position) => ({ ...position, recovered: true }));
      side.send({ ...base, gateway: 'gw-0' as GatewayName, ticket: 't', targets: [], streams });
    } else if (frame.type === 'subscribe') {
      const stream = 'news' as TopicName;
      side.send({ type: 'subscribed', id: frame.id, streams: [{ stream, epoch, offset: 0, recovered: true }] });
      side.send({ type: 'message', stream, offset: 1, id: 'm1' as MessageId, sentAtMs: 0, body: null });
    }
  };
  const credentials = new Set<string>();
  const registry = await startScriptedRegistry((request) => {
    const { device, credential } = request.body as { device: string; credential: { token: string } };
    const [, claims] = credential.token.split('.');
    const {
      app,
      sub,
      aud,
      device: named,
    } = JSON.parse(Buffer.from(claims!, 'base64url').toString()) as Record<string, string>;
    credentials.add(`${app} ${sub} ${aud} ${named === device}`);
    const gateways = [{ name: 'gw-0', url: gateway.url }];
    const retry = { baseMs: 5, maxMs: 20 };
    return { status: 200, body: { token: 't', expiresAt: '2999-01-01', expiresInMs: 60_000, gateways, retry } };
  });
  const logs = mkdtempSync(join(tmpdir(), 'fleet-'));
  const { privateJwk } = await makeAppKeys();
  const options = { registryUrl: registry.url, app: 'shop', privateJwk, topics: ['news'], logs, first: 7, count: 3 };
  const fleet = await spawnFleet(options);
  const ready = await fleet.ready(10_000);
  assert.deepEqual(ready.gateways, { 'gw-0': 3 });
  await fleet.until(({ received }) => received === 3, 10_000);
  await fleet.cut(2);
  const back = await fleet.until(({ counters, states }) => counters.welcomes === 5 && states.live === 3, 10_000);
  assert.equal(back.reconnectsAtMs.length, 2);
  assert.equal(back.counters.registryCalls.register, 3);
  assert.equal(back.counters.resumes, 2);
  await fleet.stop();
  const written = readReceivedLogs(logs);
  assert.deepEqual([...written.keys()].sort(), ['dev-000007', 'dev-000008', 'dev-000009']);
  for (const lines of written.values())
    assert.deepEqual(
      lines.map(({ id, stream, offset, epoch: at }) => [id, stream, offset, at]),
      [['m1', 'news', 1, 'e1']],
    );
  assert.deepEqual(
    [...credentials].sort(),
    ['7', '8', '9'].map((n) => `shop acc-00000${n} pushcluster true`),
  );
  await gateway.stop();
  await registry.stop();
  rmSync(logs, { recursive: true });
});
