import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../runtime/clock.ts';
import { silentLog } from '../runtime/log.ts';
import { until } from './crowd.ts';
import { isReady, openEmbedded } from './embedded.ts';
import { readManifest } from './manifest.ts';
import { describeWelcome } from './welcome.ts';

test('npm start says where the metrics of every role are, and they are there', async (t) => {
  const manifest = readFileSync(join(import.meta.dirname, '../../crds/examples/messaging.yaml'), 'utf8');
  const embedded = await openEmbedded({
    manifest: readManifest(manifest),
    dataDir: null,
    portBase: 0,
    clock: systemClock,
    log: silentLog,
    activeMs: 50,
    env: { PUSHCLUSTER_STOP_GRACE_MS: '500' },
  });
  t.after(() => embedded.stop());
  const roles = ['gateway', 'router', 'registry', 'drainer', 'upstream'];
  const started = async (): Promise<boolean> => {
    const admins = await embedded.admins();
    return roles.every((role) => admins.some(({ pod }) => pod.includes(`-${role}-`)));
  };
  await until('the cluster is Ready', async () => isReady(await embedded.status()));
  await until('every role runs', started);
  const text = await describeWelcome(embedded, 1);
  const found = [...text.matchAll(/^ {2}metrics {4}(http:\S+)\/metrics {2}(\S+)$/gm)];
  assert.deepEqual(
    found.map(([, , pod]) => pod),
    (await embedded.admins()).map(({ pod }) => pod),
  );
  for (const [, address] of found) {
    // An address is told as soon as somebody listens there; a role is ready once it has read what it needs.
    await until(`${address} is ready`, async () => (await fetch(`${address}/readyz`)).status === 200);
    assert.match(await (await fetch(`${address}/metrics`)).text(), /^# TYPE pushcluster_/m);
  }
  assert.match(text, /Bearer .+ \\\n.+-d '\{"target":\{"device":"[^"]+"\},"body":\{"hello":"world"\}\}'/);
});
