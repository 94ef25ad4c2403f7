// R13 on a real Redis that is killed under load: what was answered is in the stream once and in order, whichever way it went.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openInProcessBus } from '../../bus/in-process.ts';
import type { DeviceId } from '../../protocol/ids.ts';
import { decodeRecord } from '../../protocol/record.ts';
import { systemClock } from '../../runtime/clock.ts';
import { silentLog } from '../../runtime/log.ts';
import { openStore } from '../../store/open.ts';
import { DURABLE, TestRedis, redisMissing } from '../../store/redis/test-server.ts';
import { SHOP, aDevice, aRouter } from '../fixtures.ts';

const skip = redisMissing() ?? false;
const DEVICES = ['phone-1', 'phone-2', 'phone-3', 'phone-4'];

test(
  'R13 on Redis: killed under load, pushes are answered all along, and stored once and in the order they were answered',
  { skip },
  async (t) => {
    const redis = await TestRedis.start(DURABLE);
    const store = await openStore({ url: redis.url, password: '', timeoutMs: 500, clock: systemClock, log: silentLog });
    const bus = openInProcessBus({ clock: systemClock, log: silentLog });
    t.after(async () => {
      await bus.close();
      await store.close();
      await redis.remove();
    });
    for (const device of DEVICES) await aDevice(store, device);
    const { push, metric } = await aRouter(t, { store, bus });
    const states = new Map<string, number>();
    let running = true;
    let sent = 0;
    /** One sender a device, each push after the answer of the one before; a refusal is sent again under its key. */
    const answered = DEVICES.map(async (device) => {
      const ids: string[] = [];
      for (let i = 0; running; i++) {
        const message = { target: { device }, text: `${i}`, idempotencyKey: `${device}-${i}` };
        let answer = await push(message);
        while (answer.status === 503) answer = await push(message);
        assert.equal(answer.status, 202, JSON.stringify(answer.body));
        const state = String(answer.body['state']);
        states.set(state, (states.get(state) ?? 0) + 1);
        ids.push(String(answer.body['id']));
        sent++;
      }
      return ids;
    });
    const until = async (count: number): Promise<void> => {
      while (sent < count) await new Promise(setImmediate);
    };
    await until(100);
    await redis.kill();
    const before = sent;
    await until(before + 100);
    await redis.start();
    while ((await metric('pushcluster_router_journalling')) !== 0) await new Promise(setImmediate);
    await until(sent + 100);
    running = false;
    console.log('stopping', sent);
    const expected = await Promise.all(answered);
    for (const [i, device] of DEVICES.entries()) {
      const stream = { app: SHOP, kind: 'device', device: device as DeviceId, lane: 'normal' } as const;
      const ids: string[] = [];
      let after: { epoch: NonNullable<Awaited<ReturnType<typeof store.read>>[0]['epoch']>; offset: number } | null =
        null;
      for (;;) {
        const [read] = await store.read([{ stream, after, entriesMax: 500 }]);
        ids.push(...read!.entries.map(({ record }) => decodeRecord(Buffer.from(record)).id));
        if (read!.complete) break;
        after = { epoch: read!.epoch!, offset: read!.entries.at(-1)!.offset };
      }
      assert.equal(new Set(ids).size, ids.length, 'once');
      assert.deepEqual(ids, expected[i]);
    }
    console.log(`${sent} pushes: ${[...states].map(([state, count]) => `${count} ${state}`).join(', ')}`);
    assert.ok(states.get('journalled')! > 0);
  },
);
