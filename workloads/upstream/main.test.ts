// The role as the process that a pod runs: settings from the environment, a real Kafka, SIGTERM.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import kafkajs from 'kafkajs';
import { findPart, missingPart } from '../../e2e/setup/parts.ts';
import { openKafkaBus } from '../bus/kafka/kafka-bus.ts';
import { TestBroker } from '../bus/kafka/test-broker.ts';
import { BUS_TOPICS } from '../bus/port.ts';
import { systemClock } from '../runtime/clock.ts';
import { generateKeyFiles } from '../runtime/credentials.ts';
import { silentLog } from '../runtime/log.ts';
import { anUpstreamRecord, until } from './fixtures.ts';
import { UPSTREAM_GROUP } from './role.ts';

const skip = missingPart('kafka', 'java') ?? false;

test(
  'a process stores what comes, settles it and ends with 0 on SIGTERM; the next one goes on; kill -9 loses and doubles nothing',
  { skip },
  async (t) => {
    const dir = mkdtempSync(join(tmpdir(), 'pushcluster-upstream-'));
    const broker = await TestBroker.start({ program: findPart('kafka')! });
    const shared = { clock: systemClock, log: silentLog, random: Math.random, tls: null, sasl: null };
    const bus = openKafkaBus({
      ...shared,
      brokers: broker.brokers,
      prefix: 'a.b.',
      partitions: 4,
      replication: 1,
      publishTimeoutMs: 20_000,
    });
    for (const [name, text] of Object.entries(generateKeyFiles('2026-01-01T00:00:00Z')))
      writeFileSync(join(dir, name), text);
    const env = {
      PATH: process.env['PATH'] ?? '',
      PUSHCLUSTER_CLUSTER: 'b',
      PUSHCLUSTER_BIND: '127.0.0.1',
      PUSHCLUSTER_ADMIN_PORT: '0',
      PUSHCLUSTER_LOG_LEVEL: 'warn',
      PUSHCLUSTER_KEYS_DIR: dir,
      PUSHCLUSTER_BUS: broker.url,
      PUSHCLUSTER_BUS_PREFIX: 'a.b.',
      PUSHCLUSTER_BUS_PARTITIONS: '4',
      PUSHCLUSTER_BUS_REPLICATION: '1',
      PUSHCLUSTER_UPSTREAM_HANDLERS: JSON.stringify([{ kinds: ['*'], type: 'database' }]),
      PUSHCLUSTER_UPSTREAM_DATABASE: `sqlite:${join(dir, 'upstream.sqlite')}`,
    };
    const started: ChildProcess[] = [];
    const start = (): ChildProcess => {
      const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts')], {
        env: { ...env, PUSHCLUSTER_STORE: `sqlite:${join(dir, `store-${started.length}.sqlite`)}` },
        stdio: ['ignore', 'inherit', 'inherit'],
      });
      started.push(child);
      return child;
    };
    t.after(async () => {
      for (const child of started) child.kill('SIGKILL');
      await bus.close();
      await broker.remove();
      rmSync(dir, { recursive: true, force: true });
    });
    const settled = (): Promise<void> =>
      until('all are settled', async () => (await bus.lag(UPSTREAM_GROUP, BUS_TOPICS.upstream)) === 0);
    const stored = (device = 'd'): readonly unknown[] => {
      const db = new DatabaseSync(join(dir, 'upstream.sqlite'), { readOnly: true });
      const keys = db
        .prepare('SELECT key FROM pushcluster_upstream WHERE device = ? ORDER BY seq')
        .all(device)
        .map(({ key }) => key);
      db.close();
      return keys;
    };

    const first = start();
    await bus.publish(['1', '2', '3'].map((key) => anUpstreamRecord({ key })));
    await settled();
    const code = new Promise((resolve) => first.once('exit', resolve));
    first.kill('SIGTERM');
    assert.equal(await code, 0);
    assert.deepEqual(stored(), ['1', '2', '3']);
    await bus.publish(['3', '4'].map((key) => anUpstreamRecord({ key })));
    start();
    await settled();
    assert.deepEqual(stored(), ['1', '2', '3', '4']);

    // Then two share the work, and one is killed (kill -9) in the middle: its session runs out, and the other goes on where it was.
    const second = started[1]!;
    start();
    await until('both have partitions', async () => (await members(broker)) === 2);
    const devices = Array.from({ length: 8 }, (_, i) => `device-${i}`);
    let sent = 0;
    const publish = async (rounds: number): Promise<void> => {
      for (const last = sent + rounds; sent < last; sent++)
        await bus.publish(devices.map((device) => anUpstreamRecord({ device, key: String(sent).padStart(4, '0') })));
    };
    await publish(100);
    second.kill('SIGKILL');
    const killedAt = performance.now();
    await publish(100);
    await settled();
    t.diagnostic(`all settled ${Math.round(performance.now() - killedAt)} ms after the kill`);
    const all = Array.from({ length: 200 }, (_, n) => String(n).padStart(4, '0'));
    for (const device of devices) assert.deepEqual(stored(device), all, device);
  },
);

async function members(broker: TestBroker): Promise<number> {
  const admin = new kafkajs.Kafka({ brokers: [...broker.brokers], logLevel: kafkajs.logLevel.NOTHING }).admin();
  await admin.connect();
  try {
    const { groups } = await admin.describeGroups([`a.b.${UPSTREAM_GROUP}`]);
    const [group] = groups;
    return group?.state === 'Stable' ? group.members.length : 0;
  } finally {
    await admin.disconnect();
  }
}
