// Subscriptions that were cut short between the slot of the device and the slot of the topic: whoever comes next finishes them, and no
// delivery is counted twice or not at all (R12).
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { parseRedisAddress } from './address.ts';
import { openCluster } from './cluster.ts';
import { openAt, openEmpty } from './contract-setup.ts';
import { devicePlace, streamKey } from './keys.ts';
import { CLOSE_DEVICE, ENTER_DEVICE } from './scripts/devices.ts';
import type { Script } from './scripts/script.ts';
import { JOIN_TOPIC, LEAVE_TOPIC } from './scripts/subscribers.ts';
import { CURSORS_NOW, DROP_ROWS, SUBSCRIBE, UNSUBSCRIBE } from './scripts/subscriptions.ts';
import { openSingle } from './single.ts';
import { finish, rowsOf, SUBSCRIPTION_SCRIPTS } from './subscriptions.ts';
import { redisMissing, startCluster, TestRedis, VOLATILE } from './test-server.ts';
import { askOne } from './topology.ts';
import type { Topology } from './topology.ts';
import { listOf } from './trip.ts';
import type { Reply } from './trip.ts';
import { assertLedger } from '../contract-ledger.ts';
import {
  anAppend,
  anOpenSession,
  APP,
  appendAll,
  device,
  hear,
  opened,
  register,
  topic,
  topicName,
} from '../contract-subject.ts';
import type { StoreUnderTest } from '../contract-subject.ts';
import type { AccountId } from '../../protocol/ids.ts';
import { systemClock } from '../../runtime/clock.ts';
import { silentLog } from '../../runtime/log.ts';

const WHO = { app: APP, device: device('d1') };
const NAME = 'nameit';
const CUT_SHORT_MS = 20;

async function startSingle(): Promise<{ url: string; masters: readonly TestRedis[]; remove(): Promise<void> }> {
  const redis = await TestRedis.start(VOLATILE);
  return { url: redis.url, masters: [redis], remove: () => redis.remove() };
}

for (const kind of ['single', 'cluster'] as const) cutShort(kind);

function cutShort(kind: 'single' | 'cluster'): void {
  describe(`redis subscriptions cut short: ${kind}`, { skip: redisMissing() ?? false }, () => {
    let servers: { readonly url: string; readonly masters: readonly TestRedis[]; remove(): Promise<unknown> };
    let topology: Topology;
    let under: StoreUnderTest;
    before(async () => {
      servers = await (kind === 'cluster' ? startCluster() : startSingle());
      const address = parseRedisAddress(servers.url);
      const surroundings = {
        username: '',
        password: '',
        trust: null,
        timeoutMs: 2000,
        itemsMax: 1000,
        bytesMax: 1e6,
        clock: systemClock,
        log: silentLog,
        scripts: SUBSCRIPTION_SCRIPTS,
      };
      topology = address.kind === 'cluster' ? openCluster(address, surroundings) : openSingle(address, surroundings);
      await topology.settled(2000);
    });
    after(async () => {
      topology.close();
      await servers.remove();
    });
    beforeEach(async (t) => {
      under = await openEmpty(servers.masters, servers.url, { cutShortMs: CUT_SHORT_MS });
      if ('after' in t) t.after(() => under.close());
      await register(under.store, 'd1');
    });

    /** One step by itself, as if whoever did it died after it. */
    const atDevice = (script: Script, ...args: string[]): Promise<Reply> => {
      const { bucket, prefix, name } = devicePlace(APP, WHO.device);
      return askOne(topology, script, { bucket, key: prefix, args: [name, ...args] });
    };
    const atTopic = (script: Script, ...args: (string | number)[]): Promise<Reply> =>
      askOne(topology, script, { ...streamKey(topic('t')), args: [WHO.device, ...args] });
    const enterRow = (name = NAME): Promise<Reply> => atDevice(SUBSCRIBE, JSON.stringify([['t', false, name]]));
    const leaveRow = (): Promise<Reply> => atDevice(UNSUBSCRIBE, JSON.stringify(['t']));
    const count = async (): Promise<number> =>
      (await under.store.topicSubscribers(APP, topicName('t'), { after: null, limit: 9 })).count;
    const sweepLater = async (): Promise<void> => {
      await under.advance(2 * CUT_SHORT_MS);
      assert.equal(await under.store.sweepExpired(100), 0);
    };
    const openCursors = async () => opened(await under.store.openSession(anOpenSession('d1'))).topics;

    test('a row that was to be entered is entered by the next session, at the head of then', async () => {
      await enterRow();
      await appendAll(under.store, topic('t'), ['before']);
      assert.equal(await count(), 0);
      await assertLedger(under.store, {});
      const [cursor, ...others] = await openCursors();
      assert.deepEqual([cursor!.topic, cursor!.offset, others, await count()], ['t', 1, [], 1]);
      await appendAll(under.store, topic('t'), ['a']);
      await assertLedger(under.store, { accepted: 1 });
    });

    test('entered in the topic and not yet confirmed: it starts where it joined, and hears what came since', async () => {
      await appendAll(under.store, topic('t'), ['before']);
      await enterRow();
      await atTopic(JOIN_TOPIC, NAME);
      await appendAll(under.store, topic('t'), ['a', 'b']);
      const [cursor] = await under.store.subscribe(APP, WHO.device, [hear('t')]);
      assert.equal(cursor!.offset, 1);
      await assertLedger(under.store, { accepted: 2 });
      assert.equal(await count(), 1);
    });

    test('marked as left, it is left by the next session; what it had not settled is cancelled', async () => {
      await under.store.subscribe(APP, WHO.device, [hear('t')]);
      await appendAll(under.store, topic('t'), ['a', 'b']);
      await leaveRow();
      await appendAll(under.store, topic('t'), ['c']);
      await assertLedger(under.store, { accepted: 3 });
      assert.deepEqual([await openCursors(), await count()], [[], 0]);
      await assertLedger(under.store, { accepted: 3, cancelled: 3 });
    });

    test('left in the topic and not yet dropped: what came after is not counted, by whoever finishes', async () => {
      for (const [subscription, finishIt] of [
        ['one', () => openCursors()],
        ['two', () => under.store.unsubscribe(APP, WHO.device, [topicName('t')])],
        ['three', () => under.store.subscribe(APP, WHO.device, [hear('t')])],
      ] as const) {
        await enterRow(subscription);
        await under.store.subscribe(APP, WHO.device, [hear('t')]);
        const before = await under.store.ledger(APP);
        await appendAll(under.store, topic('t'), ['a', 'b']);
        await leaveRow();
        await atTopic(LEAVE_TOPIC, subscription, 0);
        await appendAll(under.store, topic('t'), ['c', 'd', 'e']);
        await finishIt();
        await assertLedger(under.store, {
          accepted: before.accepted + 2,
          cancelled: before.cancelled + 2,
        });
      }
    });

    test('left before it was entered everywhere: nothing waits and nothing is counted that was not accepted', async () => {
      await enterRow();
      await atTopic(JOIN_TOPIC, NAME);
      await appendAll(under.store, topic('t'), ['a']);
      await under.store.unsubscribe(APP, WHO.device, [topicName('t')]);
      assert.equal(await count(), 0);
      await assertLedger(under.store, { accepted: 1, cancelled: 1 });
    });

    test('entered in the topic after another had left it: it is taken out again', async () => {
      const rows = rowsOf(await enterRow());
      await under.store.unsubscribe(APP, WHO.device, [topicName('t')]);
      // The one who was slow goes on with what it had seen.
      await finish(topology, WHO, rows);
      assert.equal(await count(), 0);
      await appendAll(under.store, topic('t'), ['a']);
      await assertLedger(under.store, {});
    });

    for (const [how, once] of [
      ['for the first time', false],
      ['once more', true],
    ] as const)
      test(`entered in the topic ${how} after another had left it, by someone who then died: nobody counts it`, async () => {
        const rows = rowsOf(await enterRow());
        if (once) await finish(topology, WHO, rows);
        await under.store.unsubscribe(APP, WHO.device, [topicName('t')]);
        await atTopic(JOIN_TOPIC, NAME);
        assert.equal(await count(), 0);
        await appendAll(under.store, topic('t'), ['a']);
        await assertLedger(under.store, {});
        await under.store.subscribe(APP, WHO.device, [hear('t')]);
        assert.equal(await count(), 1, 'another subscription of the same topic is not in its way');
      });

    test('a step that is done twice counts once', async () => {
      await under.store.subscribe(APP, WHO.device, [hear('t')]);
      await appendAll(under.store, topic('t'), ['a']);
      const rows = rowsOf(await leaveRow());
      await Promise.all([finish(topology, WHO, rows), finish(topology, WHO, rows)]);
      await finish(topology, WHO, rows);
      await atDevice(DROP_ROWS, JSON.stringify([['t', rows[0]!.subscription, 0, 1]]));
      await assertLedger(under.store, { accepted: 1, cancelled: 1 });
    });

    for (const [how, script, account] of [
      ['closed', CLOSE_DEVICE, 'ann'],
      ['given to another account', ENTER_DEVICE, 'bob'],
    ] as const) {
      const leaveDevice = (): Promise<Reply> =>
        script === CLOSE_DEVICE ? atDevice(script) : atDevice(script, account);
      const finishIt = async (): Promise<void> => {
        await under.advance(5);
        await register(under.store, 'd1', { account });
        if (script === ENTER_DEVICE)
          await under.store.openSession(anOpenSession('d1', { account: account as AccountId }));
        assert.equal(await count(), 0);
      };

      test(`a device that was ${how} and whose topics were not left: registering it finishes`, async () => {
        await under.store.subscribe(APP, WHO.device, [hear('t')]);
        await appendAll(under.store, topic('t'), ['a']);
        await leaveDevice();
        assert.equal(await count(), 1, 'it still counts there');
        await assertLedger(under.store, { accepted: 1 });
        await finishIt();
        await assertLedger(under.store, { accepted: 1, cancelled: 1 });
      });

      test(`a device that was ${how}, out of its topic and not told so: the topic's head of then is what counts`, async () => {
        await under.store.subscribe(APP, WHO.device, [hear('t')]);
        await appendAll(under.store, topic('t'), ['a', 'b']);
        const [, leaving] = listOf(await leaveDevice());
        await atTopic(LEAVE_TOPIC, rowsOf(leaving!)[0]!.subscription, 0);
        await appendAll(under.store, topic('t'), ['nobody hears', 'nobody hears']);
        await finishIt();
        await assertLedger(under.store, { accepted: 2, cancelled: 2 });
      });

      test(`a device that was ${how} and never comes back: the sweep leaves its topics`, async () => {
        await under.store.subscribe(APP, WHO.device, [hear('t'), hear('u')]);
        await appendAll(under.store, topic('t'), ['a', 'b']);
        await appendAll(under.store, topic('u'), ['c']);
        const [, leaving] = listOf(await leaveDevice());
        const subscription = rowsOf(leaving!).find((row) => row.topic === 't')!.subscription;
        await atTopic(LEAVE_TOPIC, subscription, 0);
        await appendAll(under.store, topic('t'), ['nobody hears']);
        await sweepLater();
        assert.equal((await under.store.topicSubscribers(APP, topicName('u'), { after: null, limit: 9 })).count, 0);
        await appendAll(under.store, topic('u'), ['nobody hears']);
        await assertLedger(under.store, { accepted: 3, cancelled: 3 });
      });
    }

    test('what is under way is left to whoever is at it, and swept where it is not', async (t) => {
      const patient = await openAt(servers.url);
      t.after(() => patient.close());
      await under.store.subscribe(APP, WHO.device, [hear('t')]);
      await appendAll(under.store, topic('t'), ['a']);
      await leaveRow();
      await under.advance(2 * CUT_SHORT_MS);
      await patient.sweepExpired(100);
      assert.equal(await count(), 1, 'a minute has not passed');
      await sweepLater();
      assert.equal(await count(), 0);
      await assertLedger(under.store, { accepted: 1, cancelled: 1 });
    });

    test('one that cannot be finished holds nobody up, goes behind the others, and is finished when it can be', async () => {
      const onAll = (...words: [string, ...string[]]): Promise<unknown[]> =>
        Promise.all(servers.masters.map((master) => master.command(...words)));
      await register(under.store, 'd2');
      await under.store.subscribe(APP, device('d2'), [hear('u')]);
      const other = devicePlace(APP, device('d2'));
      await askOne(topology, UNSUBSCRIBE, { bucket: other.bucket, key: other.prefix, args: [other.name, '["u"]'] });
      await enterRow();
      await under.store.append([anAppend(topic('v'), 'expires', { expiresAtMs: Date.now() + 5 })]);
      await under.advance(2 * CUT_SHORT_MS);
      const sweptAtMs = Date.now();
      await onAll('CONFIG', 'SET', 'maxmemory', '1');
      try {
        assert.equal(await under.store.sweepExpired(100), 1, 'full memory refuses to enter, and nothing else');
      } finally {
        await onAll('CONFIG', 'SET', 'maxmemory', '0');
      }
      assert.equal((await under.store.topicSubscribers(APP, topicName('u'), { after: null, limit: 9 })).count, 0);
      assert.equal(await count(), 0);
      const { prefix, name } = devicePlace(APP, WHO.device);
      const since = await Promise.any(servers.masters.map((master) => master.command('ZSCORE', `${prefix}o`, name)));
      assert.ok(Number(since) >= sweptAtMs, `${String(since)} is before ${sweptAtMs}`);
      await sweepLater();
      await sweepLater();
      assert.equal(await count(), 1);
    });

    test('a subscription that was entered in its topic alone stands after the sweep, and those that stand are let be', async () => {
      await under.store.subscribe(APP, WHO.device, [hear('u')]);
      await enterRow();
      await atTopic(JOIN_TOPIC, NAME);
      await appendAll(under.store, topic('t'), ['a']);
      await appendAll(under.store, topic('u'), ['b']);
      await sweepLater();
      assert.deepEqual(
        rowsOf(await atDevice(CURSORS_NOW)).map(({ topic: of, mark }) => [of, mark]),
        [
          ['u', 'stands'],
          ['t', 'stands'],
        ],
      );
      await assertLedger(under.store, { accepted: 2 });
      await sweepLater();
      assert.equal(await count(), 1);
    });
  });
}
