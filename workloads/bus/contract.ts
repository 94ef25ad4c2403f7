// The contract suite of the bus port: every implementation's test file calls busContract with a way to open itself.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { randomBytes } from 'node:crypto';
import { BUS_RECORD_BYTES_MAX, BusRecordError, BusUnavailableError } from './port.ts';
import { sizeOf } from './record-size.ts';
import type { Bus, BusRecord, ReceivedRecord } from './port.ts';

/** A bus opened empty for one test. */
export interface BusUnderTest {
  readonly bus: Bus;
  /** Moves or waits for the bus's time: backoffs end. */
  readonly advance: (ms: number) => Promise<void>;
}
export interface BusSubject {
  readonly name: string;
  /** Why it cannot run here, with the command that helps; null: it can. */
  readonly skip: string | null;
  /** The first backoff must be at most 100 ms. */
  open(): Promise<BusUnderTest>;
  /** Kills what keeps the records and starts it again on its data; left out where that is this process. */
  readonly restart?: () => Promise<void>;
}

export function aRecord(key: string, value: string, topic = 'pushcluster.test'): BusRecord {
  return { topic, key, headers: { trace: 't1' }, value: Buffer.from(value) };
}
export function valueOf(record: ReceivedRecord): string {
  return Buffer.from(record.value).toString();
}

/** Gathers what handlers get; `until` resolves once it holds `count` records. */
export function aCollector() {
  const got: ReceivedRecord[] = [];
  let wanted: { count: number; resolve: () => void } | null = null;
  return {
    got,
    handler: (batch: readonly ReceivedRecord[]): Promise<void> => {
      got.push(...batch);
      if (wanted !== null && got.length >= wanted.count) wanted.resolve();
      return Promise.resolve();
    },
    until: (count: number): Promise<void> =>
      got.length >= count ? Promise.resolve() : new Promise((resolve) => (wanted = { count, resolve })),
  };
}

/** Declares all tests of the contract for one implementation. */
export function busContract(subject: BusSubject): void {
  describe(`bus contract: ${subject.name}`, { skip: subject.skip ?? false }, () => {
    orderContract(subject);
    groupsContract(subject);
    startContract(subject);
    redeliveryContract(subject);
    failureContract(subject);
    if (subject.restart !== undefined) restartContract(subject, subject.restart);
  });
}

async function withBus(subject: BusSubject, run: (t: BusUnderTest) => Promise<void>): Promise<void> {
  const under = await subject.open();
  try {
    await run(under);
  } finally {
    await under.bus.close();
  }
}

function orderContract(subject: BusSubject): void {
  test('records come whole: topic, key, headers and any bytes', () =>
    withBus(subject, async ({ bus }) => {
      const to = aCollector();
      await bus.consume({ topics: ['pushcluster.test'], group: 'g', handler: to.handler });
      const value = Uint8Array.from({ length: 256 }, (_, i) => i);
      await bus.publish([{ topic: 'pushcluster.test', key: 'k', headers: { a: 'ä', b: '' }, value }]);
      await to.until(1);
      const { topic, key, headers, offset, partition } = to.got[0]!;
      assert.deepEqual({ topic, key, headers }, { topic: 'pushcluster.test', key: 'k', headers: { a: 'ä', b: '' } });
      assert.deepEqual(Buffer.from(to.got[0]!.value), Buffer.from(value));
      assert.ok(offset >= 0 && partition >= 0);
    }));

  test('records of one key come in the order published, and in one partition', () =>
    withBus(subject, async ({ bus }) => {
      const to = aCollector();
      await bus.consume({ topics: ['pushcluster.test'], group: 'g', handler: to.handler });
      for (let round = 0; round < 50; round++)
        await bus.publish(['a', 'b', 'c', 'd'].map((key) => aRecord(key, `${round}`)));
      await to.until(200);
      for (const key of ['a', 'b', 'c', 'd']) {
        const mine = to.got.filter((record) => record.key === key);
        assert.deepEqual(
          mine.map(valueOf),
          Array.from({ length: 50 }, (_, i) => `${i}`),
        );
        assert.equal(new Set(mine.map((record) => record.partition)).size, 1);
      }
    }));

  test('both durabilities publish, in order for each key', () =>
    withBus(subject, async ({ bus }) => {
      const to = aCollector();
      await bus.consume({ topics: ['pushcluster.test'], group: 'g', handler: to.handler });
      await bus.publish([aRecord('k', '1')], 'leader');
      await bus.publish([aRecord('k', '2')], 'all');
      await bus.publish([aRecord('k', '3')], 'leader');
      await to.until(3);
      assert.deepEqual(to.got.map(valueOf), ['1', '2', '3']);
    }));

  test('publishes that do not wait for each other keep the order of each key', () =>
    withBus(subject, async ({ bus }) => {
      const to = aCollector();
      await bus.consume({ topics: ['pushcluster.test'], group: 'g', handler: to.handler });
      const publishes: Promise<void>[] = [];
      for (let i = 0; i < 300; i++) {
        publishes.push(bus.publish([aRecord(`k${i % 3}`, `${i}`)]));
        if (i % 50 === 49) await new Promise((resolve) => setImmediate(resolve));
      }
      await Promise.all(publishes);
      await to.until(300);
      for (const key of ['k0', 'k1', 'k2']) {
        const mine = to.got.filter((record) => record.key === key).map((record) => Number(valueOf(record)));
        assert.deepEqual(
          mine,
          mine.toSorted((a, b) => a - b),
        );
        assert.equal(mine.length, 100);
      }
    }));

  test('a record at the limit comes whole; one byte more is rejected by name', () =>
    withBus(subject, async ({ bus }) => {
      const to = aCollector();
      await bus.consume({ topics: ['pushcluster.test'], group: 'g', handler: to.handler });
      const value = randomBytes(BUS_RECORD_BYTES_MAX - sizeOf(aRecord('k', '')));
      await bus.publish([{ ...aRecord('k', ''), value }]);
      await to.until(1);
      assert.ok(value.equals(to.got[0]!.value));
      const more = Buffer.concat([value, Buffer.alloc(1)]);
      await assert.rejects(bus.publish([{ ...aRecord('k', ''), value: more }]), BusRecordError);
    }));

  test('a publish of more than one call takes comes whole and in order', () =>
    withBus(subject, async ({ bus }) => {
      const to = aCollector();
      await bus.consume({ topics: ['pushcluster.test'], group: 'g', handler: to.handler });
      const records = Array.from({ length: 40 }, (_, i) => aRecord('k', `${i} `.padEnd(50_000, 'x')));
      await bus.publish(records);
      await to.until(40);
      assert.deepEqual(
        to.got.map((record) => Number.parseInt(valueOf(record), 10)),
        Array.from({ length: 40 }, (_, i) => i),
      );
    }));

  test('topics are apart', () =>
    withBus(subject, async ({ bus }) => {
      const to = aCollector();
      await bus.consume({ topics: ['pushcluster.one'], group: 'g', handler: to.handler });
      await bus.publish([aRecord('k', 'other', 'pushcluster.two'), aRecord('k', 'mine', 'pushcluster.one')]);
      await to.until(1);
      assert.deepEqual(to.got.map(valueOf), ['mine']);
    }));
}

function groupsContract(subject: BusSubject): void {
  test('a new group starts at the oldest record, and each group gets every record', () =>
    withBus(subject, async ({ bus }) => {
      await bus.publish([aRecord('k', '1'), aRecord('k', '2')]);
      const [one, two] = [aCollector(), aCollector()];
      await bus.consume({ topics: ['pushcluster.test'], group: 'one', handler: one.handler });
      await bus.consume({ topics: ['pushcluster.test'], group: 'two', handler: two.handler });
      await Promise.all([one.until(2), two.until(2)]);
      assert.deepEqual(
        [one.got.map(valueOf), two.got.map(valueOf)],
        [
          ['1', '2'],
          ['1', '2'],
        ],
      );
    }));

  test('members of a group share the records, each record goes to one of them', () =>
    withBus(subject, async ({ bus }) => {
      const both = aCollector();
      const mine = [0, 0];
      for (const i of [0, 1]) {
        await bus.consume({
          topics: ['pushcluster.test'],
          group: 'g',
          handler: (batch) => {
            mine[i]! += batch.length;
            return both.handler(batch);
          },
        });
      }
      await bus.publish(Array.from({ length: 200 }, (_, i) => aRecord(`key-${i}`, `${i}`)));
      await both.until(200);
      assert.equal(new Set(both.got.map(valueOf)).size, 200);
      assert.ok(mine[0]! > 0 && mine[1]! > 0, `shares: ${mine.join(', ')}`);
    }));

  test('a member that stops settles its batch, and the next one goes on after it', () =>
    withBus(subject, async ({ bus }) => {
      const first = aCollector();
      const consumer = await bus.consume({ topics: ['pushcluster.test'], group: 'g', handler: first.handler });
      await bus.publish([aRecord('k', '1')]);
      await first.until(1);
      await consumer.stop();
      await bus.publish([aRecord('k', '2')]);
      const second = aCollector();
      await bus.consume({ topics: ['pushcluster.test'], group: 'g', handler: second.handler });
      await second.until(1);
      assert.deepEqual([first.got.map(valueOf), second.got.map(valueOf)], [['1'], ['2']]);
    }));
}

function startContract(subject: BusSubject): void {
  test('a new group that wants only what is new starts behind the newest record', () =>
    withBus(subject, async ({ bus }) => {
      await bus.publish(['a', 'b', 'c', 'd'].map((key) => aRecord(key, 'before')));
      const to = aCollector();
      await bus.consume({ topics: ['pushcluster.test'], group: 'new', from: 'newest', handler: to.handler });
      await bus.publish(['a', 'b', 'c', 'd'].map((key) => aRecord(key, 'after')));
      await to.until(4);
      assert.deepEqual(to.got.map(valueOf), ['after', 'after', 'after', 'after']);
      assert.equal(await bus.lag('never', 'pushcluster.test'), 8);
    }));

  test('a group that wanted only what is new goes on where it was when it comes back', () =>
    withBus(subject, async ({ bus }) => {
      await bus.publish([aRecord('a', 'before')]);
      const options = { topics: ['pushcluster.test'], group: 'new', from: 'newest' } as const;
      const first = await bus.consume({ ...options, handler: aCollector().handler });
      await first.stop();
      await bus.publish([aRecord('a', 'meanwhile')]);
      const to = aCollector();
      await bus.consume({ ...options, handler: to.handler });
      await to.until(1);
      assert.deepEqual(to.got.map(valueOf), ['meanwhile']);
    }));

  test('a group of one life shares records as others do, until its last member stops', () =>
    withBus(subject, async ({ bus }) => {
      const [one, two, other] = [aCollector(), aCollector(), aCollector()];
      const options = { topics: ['pushcluster.test'], from: 'newest', isOfOneLife: true } as const;
      const first = await bus.consume({ ...options, group: 'life', handler: one.handler });
      const second = await bus.consume({ ...options, group: 'life', handler: two.handler });
      await bus.consume({ ...options, group: 'another', handler: other.handler });
      await first.stop();
      await bus.publish([aRecord('a', '1'), aRecord('b', '2')]);
      await Promise.all([two.until(2), other.until(2)]);
      await second.stop();
      await bus.publish([aRecord('a', '3')]);
      await other.until(3);
      assert.deepEqual([two.got.length, other.got.map(valueOf).toSorted()], [2, ['1', '2', '3']]);
    }));

  test('records that the headers do not accept are passed over and settled', () =>
    withBus(subject, async ({ bus }) => {
      const to = aCollector();
      const consumer = await bus.consume({
        topics: ['pushcluster.test'],
        group: 'g',
        accepts: (headers) => headers['for'] === 'me',
        handler: to.handler,
      });
      const records = Array.from({ length: 20 }, (_, i) => ({
        ...aRecord('k', `${i}`),
        headers: { for: i % 4 === 3 ? 'me' : 'other' },
      }));
      await bus.publish(records);
      await to.until(5);
      await consumer.stop();
      assert.deepEqual(to.got.map(valueOf), ['3', '7', '11', '15', '19']);
      assert.equal(await bus.lag('g', 'pushcluster.test'), 0);
    }));
}

function redeliveryContract(subject: BusSubject): void {
  test('a handler that throws gets the batch again from its start, in order, until it returns', () =>
    withBus(subject, async ({ bus, advance }) => {
      const to = aCollector();
      let failures = 0;
      const tries: string[][] = [];
      await bus.publish([aRecord('k', '1'), aRecord('k', '2')]);
      let failed: (() => void) | null = null;
      await bus.consume({
        topics: ['pushcluster.test'],
        group: 'g',
        handler: (batch) => {
          tries.push(batch.map(valueOf));
          if (failures++ < 2) {
            setImmediate(() => failed?.());
            return Promise.reject(new Error('not yet'));
          }
          return to.handler(batch);
        },
      });
      for (const waitMs of [100, 200]) {
        if (failures === (waitMs === 100 ? 0 : 1)) await new Promise<void>((resolve) => (failed = resolve));
        assert.equal(await bus.lag('g', 'pushcluster.test'), 2);
        await advance(waitMs);
      }
      await to.until(2);
      assert.deepEqual(tries[0], tries[1]);
      assert.deepEqual(to.got.map(valueOf), ['1', '2']);
    }));

  test('lag counts what a group has not settled; a settled group has none', () =>
    withBus(subject, async ({ bus }) => {
      assert.equal(await bus.lag('g', 'pushcluster.test'), 0);
      await bus.publish([aRecord('a', '1'), aRecord('b', '2'), aRecord('c', '3')]);
      assert.equal(await bus.lag('g', 'pushcluster.test'), 3);
      const to = aCollector();
      const consumer = await bus.consume({ topics: ['pushcluster.test'], group: 'g', handler: to.handler });
      await to.until(3);
      await consumer.stop();
      assert.equal(await bus.lag('g', 'pushcluster.test'), 0);
    }));

  test('a closed bus rejects by name', () =>
    withBus(subject, async ({ bus }) => {
      await bus.close();
      await assert.rejects(bus.publish([aRecord('k', '1')]), BusUnavailableError);
      const handler = (): Promise<void> => Promise.resolve();
      await assert.rejects(bus.consume({ topics: ['pushcluster.test'], group: 'g', handler }), BusUnavailableError);
    }));
}

function failureContract(subject: BusSubject): void {
  test('a key whose handler fails does not hold back other partitions', () =>
    withBus(subject, async ({ bus }) => {
      const to = aCollector();
      await bus.publish([aRecord('bad', 'x'), ...Array.from({ length: 40 }, (_, i) => aRecord(`k${i}`, `${i}`))]);
      const handler = (batch: readonly ReceivedRecord[]): Promise<void> =>
        batch.some((record) => record.key === 'bad') ? Promise.reject(new Error('bad')) : to.handler(batch);
      await bus.consume({ topics: ['pushcluster.test'], group: 'g', handler });
      await to.until(20);
      await bus.publish(Array.from({ length: 40 }, (_, i) => aRecord(`k${i}`, `later ${i}`)));
      await to.until(45);
      assert.ok(!to.got.map(valueOf).includes('x'));
    }));

  test('a handler that takes long holds back neither other partitions nor who stops it in the end', () =>
    withBus(subject, async ({ bus }) => {
      const to = aCollector();
      const gate = Promise.withResolvers<void>();
      let held = 0;
      const handler = async (batch: readonly ReceivedRecord[]): Promise<void> => {
        if (batch.some((record) => record.key === 'slow')) {
          held++;
          await gate.promise;
        }
        await to.handler(batch);
      };
      const consumer = await bus.consume({ topics: ['pushcluster.test'], group: 'g', handler });
      for (let round = 0; round < 4; round++) {
        await bus.publish([...Array.from({ length: 40 }, (_, i) => aRecord(`k${i}`, '')), aRecord('slow', `${round}`)]);
        await to.until((round + 1) * 20);
      }
      assert.equal(held, 1);
      const stopping = consumer.stop();
      gate.resolve();
      await stopping;
      assert.ok(to.got.some((record) => record.key === 'slow'));
    }));

  test('says that it is reachable once it was used, and is not once it is closed', () =>
    withBus(subject, async ({ bus }) => {
      await bus.publish([aRecord('k', '1')]);
      assert.deepEqual(bus.health(), { reachable: true, problem: null });
      await bus.close();
      assert.deepEqual(bus.health(), { reachable: false, problem: 'the bus is closed' });
    }));
}

function restartContract(subject: BusSubject, restart: () => Promise<void>): void {
  test('what was published is handled, in order, though the bus is killed and starts again meanwhile', () =>
    withBus(subject, async ({ bus }) => {
      const got = new Map<string, number[]>();
      const published = new Map<string, number[]>();
      const handler = (batch: readonly ReceivedRecord[]): Promise<void> => {
        for (const record of batch) {
          const row = got.get(record.key) ?? [];
          if (!row.includes(Number(valueOf(record)))) row.push(Number(valueOf(record))); // at least once
          got.set(record.key, row);
        }
        return Promise.resolve();
      };
      await bus.consume({ topics: ['pushcluster.test'], group: 'g', handler });
      let goesOn = true;
      const publisher = async (key: string): Promise<void> => {
        const row: number[] = [];
        published.set(key, row);
        for (let i = 0; goesOn; i++) {
          await bus.publish([aRecord(key, `${i}`)]).then(
            () => row.push(i),
            () => new Promise((resolve) => setTimeout(resolve, 50)), // away: outcome unknown, go on with the next
          );
        }
      };
      const publishing = Promise.all(['a', 'b', 'c', 'd', 'e'].map(publisher));
      await new Promise((resolve) => setTimeout(resolve, 300));
      await restart();
      const after = Math.max(...[...published.values()].map((row) => row.length));
      while (Math.min(...[...published.values()].map((row) => row.length)) < after + 20)
        await new Promise((resolve) => setTimeout(resolve, 50));
      goesOn = false;
      await publishing;
      while ((await bus.lag('g', 'pushcluster.test')) > 0) await new Promise((resolve) => setTimeout(resolve, 50));
      for (const [key, row] of published) {
        const handled = got.get(key) ?? [];
        const missing = row.filter((i) => !handled.includes(i));
        assert.deepEqual(missing, [], `lost of ${key}`);
        assert.deepEqual(
          handled,
          handled.toSorted((a, b) => a - b),
          `order of ${key}`,
        );
      }
    }));
}
