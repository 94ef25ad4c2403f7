// The in-process bus: the contract, its bounds at and past them, and its backoff by the clock.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { aCollector, aRecord, busContract, valueOf } from './contract.ts';
import { openInProcessBus } from './in-process.ts';
import { BUS_TOPICS, BusFullError } from './port.ts';
import { aManualClock } from '../runtime/clock.ts';
import { silentLog } from '../runtime/log.ts';

busContract({
  name: 'in-process',
  skip: null,
  open() {
    const clock = aManualClock();
    const bus = openInProcessBus({ clock, log: silentLog });
    return Promise.resolve({ bus, advance: (ms) => Promise.resolve(clock.advance(ms)) });
  },
});

/** Lets everything that is due in this turn of the loop happen. */
async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}

test('takes records up to its limit and rejects the next with BusFullError, until a group settled some', async () => {
  const bus = openInProcessBus({ clock: aManualClock(), log: silentLog, recordsMax: 3 });
  await bus.publish([aRecord('a', '1'), aRecord('b', '2'), aRecord('c', '3')]);
  await assert.rejects(bus.publish([aRecord('d', '4')]), BusFullError);
  const to = aCollector();
  await bus.consume({ topics: ['pushcluster.test'], group: 'g', handler: to.handler });
  await to.until(3);
  await turns(2);
  await bus.publish([aRecord('d', '4')]);
  await to.until(4);
  await bus.close();
});

test('takes bytes up to its limit and rejects the next with BusFullError', async () => {
  const bus = openInProcessBus({ clock: aManualClock(), log: silentLog, bytesMax: 30 });
  const tenBytes = { topic: 't', key: 'k', headers: { a: 'b' }, value: Buffer.from('1234567') };
  await bus.publish([tenBytes, tenBytes, tenBytes]);
  await assert.rejects(bus.publish([{ ...tenBytes, headers: {}, key: '', value: Buffer.from('x') }]), BusFullError);
  await bus.close();
});

test('hands a failed batch again after 100, 200, 400 ms and never waits longer than its bound', async () => {
  const clock = aManualClock();
  const bus = openInProcessBus({ clock, log: silentLog, backoffMaxMs: 400 });
  let tries = 0;
  const handler = (): Promise<void> => {
    tries++;
    return Promise.reject(new Error('never'));
  };
  await bus.consume({ topics: ['pushcluster.test'], group: 'g', handler });
  await bus.publish([aRecord('k', '1')]);
  await turns(3);
  for (const [i, waitMs] of [100, 200, 400, 400, 400].entries()) {
    assert.equal(tries, i + 1);
    clock.advance(waitMs - 1);
    await turns(3);
    assert.equal(tries, i + 1);
    clock.advance(1);
    await turns(3);
  }
  assert.equal(tries, 6);
  await bus.close();
  assert.equal(clock.pending(), 0);
});

test('dead letters of upstream stay for groups that come later, the oldest go past the bound', async () => {
  const bus = openInProcessBus({ clock: aManualClock(), log: silentLog, partitions: 1 });
  const read = async (group: string, count: number): Promise<string[]> => {
    const to = aCollector();
    const consumer = await bus.consume({ topics: [BUS_TOPICS.upstreamDead], group, handler: to.handler });
    await to.until(count);
    await consumer.stop();
    return to.got.map(valueOf);
  };
  await bus.publish([aRecord('k', '0', BUS_TOPICS.upstreamDead)]);
  assert.deepEqual(await read('one', 1), ['0']);
  assert.deepEqual(await read('two', 1), ['0']);
  await bus.publish(Array.from({ length: 250 }, (_, i) => aRecord('k', `${i + 1}`, BUS_TOPICS.upstreamDead)));
  assert.deepEqual((await read('one', 250)).at(-1), '250');
  assert.deepEqual((await read('two', 250)).at(-1), '250');
  assert.deepEqual((await read('three', 250))[0], '1');
  await bus.close();
});

test('groups of lives that are gone hold no records: many restarts leave room', async () => {
  const bus = openInProcessBus({ clock: aManualClock(), log: silentLog, recordsMax: 100, partitions: 2 });
  const { broadcast, upstreamDead } = BUS_TOPICS;
  for (let life = 0; life < 50; life++) {
    const to = aCollector();
    const options = { group: `life-${life}`, isOfOneLife: true, handler: to.handler };
    const consumer = await bus.consume({ ...options, topics: [broadcast, 'pushcluster.test'], from: 'newest' });
    await bus.publish(Array.from({ length: 5 }, (_, i) => aRecord(`${i}`, `${life}`, broadcast)));
    await to.until(5);
    await consumer.stop();
  }
  for (let i = 0; i < 200; i++) await bus.publish([aRecord(`${i}`, 'heard by nobody', broadcast)]);
  const late = aCollector();
  await bus.publish(Array.from({ length: 100 }, (_, i) => aRecord(`${i}`, `${i}`)));
  await assert.rejects(bus.publish([aRecord('more', 'waits for its first group')]), BusFullError);
  await bus.consume({ topics: ['pushcluster.test'], group: 'late', isOfOneLife: true, handler: late.handler });
  await late.until(100);
  await turns(2);
  await bus.publish([aRecord('k', 'dead', upstreamDead)]);
  await bus.close();
});

test('a group of one life whose batch waits to come again ends with its member', async () => {
  const clock = aManualClock();
  const bus = openInProcessBus({ clock, log: silentLog, recordsMax: 1 });
  const handler = (): Promise<void> => Promise.reject(new Error('never'));
  const consumer = await bus.consume({ topics: [BUS_TOPICS.broadcast], group: 'g', isOfOneLife: true, handler });
  await bus.publish([aRecord('k', '1', BUS_TOPICS.broadcast)]);
  await turns(3);
  assert.equal(clock.pending(), 1);
  await assert.rejects(bus.publish([aRecord('k', '2', BUS_TOPICS.broadcast)]), BusFullError);
  await consumer.stop();
  assert.equal(clock.pending(), 0);
  await bus.publish([aRecord('k', '2', BUS_TOPICS.broadcast)]);
  await bus.close();
});

test('stopping waits for the batch under way', async () => {
  const bus = openInProcessBus({ clock: aManualClock(), log: silentLog });
  const gate = Promise.withResolvers<void>();
  const entered = Promise.withResolvers<void>();
  const handler = (): Promise<void> => {
    entered.resolve();
    return gate.promise;
  };
  const consumer = await bus.consume({ topics: ['pushcluster.test'], group: 'g', handler });
  await bus.publish([aRecord('k', '1')]);
  await entered.promise;
  let stopped = false;
  const stopping = consumer.stop().then(() => (stopped = true));
  await turns(3);
  assert.equal(stopped, false);
  gate.resolve();
  await stopping;
  assert.equal(await bus.lag('g', 'pushcluster.test'), 0);
  await bus.close();
});
