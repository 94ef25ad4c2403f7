import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { DeviceId } from '../../protocol/ids.ts';
import { LIMITS } from '../../protocol/limits.ts';
import { decodeRecord } from '../../protocol/record.ts';
import { aManualClock } from '../../runtime/clock.ts';
import { aJobsRouter, aList, aRecord, namesOf, someDevices, statesOf } from '../api/api-fixtures.ts';
import { cancelMessage } from '../results/cancel.ts';
import { StoreUnavailableError } from '../../store/port.ts';
import type { Store } from '../../store/port.ts';
import { withOperation } from '../../store/with-operation.ts';
import { SHOP, aStore, anApp } from '../fixtures.ts';
import { JOB_LEASE_MS } from './jobs.ts';
import { expandJob } from './list.ts';
import { SPAN_CHUNKS } from './spans.ts';

const stream = (device: DeviceId) => ({ app: SHOP, kind: 'device', device, lane: 'normal' }) as const;
/** A list that is expanded in one piece, and one of two spans. */
const SHORT = { chunks: 11, chunkNames: 3 };
const SPLIT = { chunks: SPAN_CHUNKS + 1, chunkNames: 1 };

async function aPlace(t: Parameters<typeof aStore>[0], { chunks, chunkNames } = SHORT) {
  const clock = aManualClock();
  const { store } = await aStore(t, clock);
  const devices = await someDevices(store, 'd', chunks * chunkNames - 1);
  const row = await aList(store, clock, { names: [...devices, 'stranger'], chunkNames });
  await store.putJobs([expandJob(row)]);
  return { clock, store, devices, row };
}

describe('R10: a list whose router is killed at any step is resumed by another one, and each recipient has it once', () => {
  for (const shape of [SHORT, SPLIT])
    test(`at every step, before and after the store did it: ${shape.chunks} chunks`, async (t) => {
      let last = 0;
      for (const dieHow of ['before', 'after'] as const)
        for (let dieAt = 1; ; dieAt++) {
          const { clock, store, devices, row } = await aPlace(t, shape);
          const first = aJobsRouter({ store, clock, dieAt, dieHow });
          first.poke();
          await first.rest();
          clock.advance(JOB_LEASE_MS + 1);
          const second = aJobsRouter({ store, clock });
          second.poke();
          await second.rest();
          const at = `killed ${dieHow} step ${dieAt}`;
          const [now] = await store.messages(SHOP, [row.id]);
          assert.deepEqual([now?.state, now?.chunksDone], ['expanded', shape.chunks], at);
          const heads = await store.heads(devices.map(stream));
          assert.ok(
            heads.every(({ head }) => head === 1),
            at,
          );
          assert.equal((await store.ledger(SHOP)).accepted, devices.length, at);
          assert.equal(await store.countJobs(), 0, at);
          assert.ok(new Set([...first.told, ...second.told].map(({ device }) => device)).size === devices.length, at);
          last = dieAt;
          if (first.steps() < dieAt) break;
        }
      assert.ok(last > shape.chunks, `only ${last} steps`);
    });

  test('spans are put again by whoever finds that only some were, and those that are done are not', async (t) => {
    const { clock, store, devices, row } = await aPlace(t, { chunks: 5 * SPAN_CHUNKS, chunkNames: 1 });
    const put: string[] = [];
    const lossy = withOperation(store, {
      async putJobs(jobs) {
        put.push(jobs.map(({ id }) => id.split('-').at(-1)).join(' '));
        if (put.length > 1) return await store.putJobs(jobs);
        await store.putJobs([jobs[1]!, jobs[3]!]);
        throw new StoreUnavailableError('three of them are elsewhere');
      },
    });
    const routers = [aJobsRouter({ store: lossy, clock }), aJobsRouter({ store, clock })] as const;
    for (let i = 0; i < 2; i++) {
      for (const router of routers) {
        router.poke();
        await router.rest();
      }
      clock.advance(JOB_LEASE_MS + 1);
      for (const router of routers) await router.rest();
    }
    assert.deepEqual(put, ['0 20 40 60 80', '0 40 80']);
    assert.deepEqual(await statesOf(store, row, devices), { waiting: devices.length });
    assert.equal(await store.countJobs(), 0);
  });

  test('two routers with a split list each do some of its spans; one that comes first does not take them all', async (t) => {
    const { clock, store, devices, row } = await aPlace(t, { chunks: 5 * SPAN_CHUNKS, chunkNames: 1 });
    const routers = [aJobsRouter({ store, clock }), aJobsRouter({ store, clock })] as const;
    const [first, second] = routers;
    first.poke();
    while (first.told.length === 0) await new Promise(setImmediate);
    second.poke();
    for (const router of routers) await router.rest();
    assert.deepEqual(await statesOf(store, row, devices), { waiting: devices.length });
    const stored = routers.map(({ counts }) => counts.expansions.recipients.stored);
    assert.equal(stored[0]! + stored[1]!, devices.length);
    assert.ok(Math.min(...stored) >= SPAN_CHUNKS, `${stored.join(' and ')} recipients`);
    assert.deepEqual([first.counts.expansions.begun, second.counts.expansions.begun], [1, 0]);
    assert.equal(first.counts.expansions.ended + second.counts.expansions.ended, 1);
  });

  test('two routers at once do the work of a short list once', async (t) => {
    const { clock, store, devices, row } = await aPlace(t);
    const routers = [aJobsRouter({ store, clock }), aJobsRouter({ store, clock })];
    routers.forEach((router) => router.poke());
    for (const router of routers) await router.rest();
    assert.deepEqual(await statesOf(store, row, devices), { waiting: devices.length });
    const told = routers.map((router) => router.told.length);
    assert.deepEqual(
      told.toSorted((a, b) => a - b),
      [0, devices.length],
    );
  });
});

test('a cancel at any step, whoever is killed there or soon after, leaves no delivery that waits', async (t) => {
  const steps = Array.from({ length: 22 }, (_, i) => i + 1);
  // Infinity: the router lives. Every third cancel is asked by someone who dies as well, once the job of it is stored.
  const cases = [SHORT, SPLIT].flatMap((shape) =>
    steps.flatMap((step) =>
      [0, 1, 2, Infinity].map((more) => {
        const cancelAt = shape === SHORT ? step : 3 * step;
        return { shape, cancelAt, dieAt: cancelAt + more, dieHow: more % 2 === 0 ? 'after' : 'before' } as const;
      }),
    ),
  );
  for (const [i, { shape, cancelAt, dieAt, dieHow }] of cases.entries()) {
    const { clock, store, devices, row } = await aPlace(t, shape);
    const asker = i % 3 === 0 ? lame(store, 'changeMessage') : store;
    const seesToCancels = aJobsRouter({ store, clock });
    let asked: Promise<void> | null = null;
    const cancel = (): Promise<void> =>
      (asked ??= cancelMessage({ store: asker, onJob: () => {} }, SHOP, row.id)
        .then(
          () => {},
          () => {},
        )
        .then(async () => {
          seesToCancels.poke();
          await seesToCancels.rest();
        }));
    const onStep = async (step: number): Promise<void> => void (step >= cancelAt && (await cancel()));
    const first = aJobsRouter({ store, clock, dieAt, dieHow, onStep });
    first.poke();
    await first.rest();
    await cancel();
    clock.advance(JOB_LEASE_MS + 1);
    const second = aJobsRouter({ store, clock });
    second.poke();
    await second.rest();
    const at = `${shape.chunks} chunks, cancelled at step ${cancelAt}, killed ${dieHow} step ${dieAt}`;
    const states = await statesOf(store, row, devices);
    assert.equal(states['waiting'], undefined, `${at}: ${JSON.stringify(states)}`);
    const { accepted, cancelled } = await store.ledger(SHOP);
    assert.deepEqual([accepted, await store.countWaiting(SHOP), await store.countJobs()], [cancelled, 0, 0], at);
  }
});

test('a run that hangs past its lease, and fails then, ends what it appended after a cancel: its job is gone', async (t) => {
  const { clock, store, devices, row } = await aPlace(t);
  let goOn: (() => void) | null = null;
  let losesOne = true;
  const hanging = new Proxy(store, {
    get: (target, property: keyof Store) => {
      const operation = target[property] as (...args: unknown[]) => Promise<unknown>;
      return async (...args: unknown[]) => {
        if (property === 'append' && goOn === null) await new Promise<void>((resolve) => (goOn = resolve));
        if (property !== 'messageChunk' || args[2] !== 0 || !losesOne) return await operation.apply(target, args);
        losesOne = false;
        throw new StoreUnavailableError('lost');
      };
    },
  });
  const first = aJobsRouter({ store: hanging, clock });
  first.poke();
  while (goOn === null) await new Promise(setImmediate);
  await cancelMessage({ store, onJob: () => {} }, SHOP, row.id);
  clock.advance(JOB_LEASE_MS + 1);
  const second = aJobsRouter({ store, clock });
  second.poke();
  while ((await store.countJobs()) > 0) await new Promise(setImmediate);
  (goOn as () => void)();
  await first.rest();
  assert.equal((await statesOf(store, row, devices))['waiting'], undefined);
  assert.ok((await store.ledger(SHOP)).cancelled >= 6, 'some of it was appended');
});

/** The store of someone who dies when asking for one operation. */
function lame(store: Store, operation: keyof Store): Store {
  return withOperation(store, { [operation]: () => Promise.reject(new StoreUnavailableError('gone')) });
}

test('R6: a body that many streams would hold is kept once with the message; a small one stands in each stream', async (t) => {
  for (const [body, elsewhere] of [
    ['x'.repeat(256), false],
    ['x'.repeat(257), true],
  ] as const) {
    const clock = aManualClock();
    const { store } = await aStore(t, clock);
    const devices = await someDevices(store, 'd', 3);
    const row = await aList(store, clock, { names: devices, chunkNames: 2, body });
    await store.putJobs([expandJob(row)]);
    const router = aJobsRouter({ store, clock });
    router.poke();
    await router.rest();
    const [read] = await store.read([{ stream: stream(devices[0]!), after: null, entriesMax: 1 }]);
    const record = decodeRecord(read!.entries[0]!.record);
    assert.deepEqual([record.bodyElsewhere, record.body.length], [elsewhere, elsewhere ? 0 : body.length]);
    const [whole] = await store.bodies(SHOP, [row.id]);
    assert.equal(Buffer.from(decodeRecord(whole!).body).toString(), body);
  }
});

test('a full stream takes no more: the delivery is a dead letter at once, and an app that asked for it is told', async (t) => {
  const clock = aManualClock();
  const { store } = await aStore(t, clock);
  const devices = await someDevices(store, 'd', 2);
  const [full] = devices as [DeviceId, DeviceId];
  const filler = await aList(store, clock, { names: [full], chunkNames: 1 });
  await store.append(
    Array.from({ length: LIMITS.deviceStreamEntriesMax }, (_, i) => {
      const messageId = `${filler.id.slice(0, 20)}${String(i).padStart(6, '0')}` as typeof filler.id;
      return {
        stream: stream(full),
        messageId,
        record: aRecord(messageId, { expiresAtMs: 0, body: '' }),
        expiresAtMs: 0,
      };
    }),
  );
  const row = await aList(store, clock, { names: devices, chunkNames: 2 });
  await store.putJobs([expandJob(row)]);
  const app = anApp({ webhook: { url: 'https://shop.example/hook', timeoutMs: 1000, events: ['dead-letter'] } });
  const router = aJobsRouter({ store, clock, app });
  router.poke();
  await router.rest();
  assert.deepEqual(await statesOf(store, row, devices), { dead: 1, waiting: 1 });
  assert.deepEqual(router.counts.expansions.recipients, { stored: 1, again: 0, dead: 1, unknown: 0 });
  const { letters } = await store.deadLetters(SHOP, { cursor: null, limit: 10 });
  assert.deepEqual(
    letters.map(({ device, messageId, reason }) => [device, messageId, reason]),
    [[full, row.id, 'stream-full']],
  );
  const [job] = await store.claimJobs(10, 1000, 'notices');
  const notice = JSON.parse(Buffer.from(job!.payload).toString()) as Record<string, unknown>;
  assert.deepEqual(
    [job!.kind, notice['event'], notice['device'], notice['messageId']],
    ['notice', 'dead-letter', full, row.id],
  );
});

test('each offline recipient is a notice for an app that asked for it, once, whenever the router is killed', async (t) => {
  const app = anApp({ webhook: { url: 'https://shop.example/hook', timeoutMs: 1000, events: ['waiting'] } });
  for (const dieHow of ['before', 'after'] as const)
    for (let dieAt = 1; dieAt < 30; dieAt++) {
      const { clock, store, devices } = await aPlace(t);
      const offline = new Set(devices.filter((_, i) => i % 2 === 0));
      const first = aJobsRouter({ store, clock, app, offline, dieAt, dieHow });
      first.poke();
      await first.rest();
      clock.advance(JOB_LEASE_MS + 1);
      const second = aJobsRouter({ store, clock, app, offline });
      second.poke();
      await second.rest();
      clock.advance(JOB_LEASE_MS + 1); // no one there runs notices: they come back
      const notices = await store.claimJobs(100, 1000, 'notices');
      const told = notices.map(({ payload }) => JSON.parse(Buffer.from(payload).toString()) as { device: DeviceId });
      assert.deepEqual(
        told.map(({ device }) => device).toSorted(),
        [...offline].toSorted(),
        `killed ${dieHow} step ${dieAt}`,
      );
    }
});

test('names of accounts become their devices', async (t) => {
  const clock = aManualClock();
  const { store } = await aStore(t, clock);
  const devices = await someDevices(store, 'd', 4);
  const row = await aList(store, clock, { names: namesOf('d', 5), chunkNames: 2, target: { kind: 'accounts' } });
  await store.putJobs([expandJob(row)]);
  const router = aJobsRouter({ store, clock });
  router.poke();
  await router.rest();
  assert.deepEqual(await statesOf(store, row, devices), { waiting: 4 });
});
