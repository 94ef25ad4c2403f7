// One partition at a consumer, step by step, by a clock that the tests move: what is handed, committed, paused and resumed when.
import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import type { KafkaMessage } from 'kafkajs';
import { aManualClock } from '../../runtime/clock.ts';
import type { ManualClock } from '../../runtime/clock.ts';
import { silentLog } from '../../runtime/log.ts';
import type { BusHandler } from '../port.ts';
import { KAFKA_TUNING } from './client.ts';
import { PartitionRun } from './partition-run.ts';

const PLACE = { topic: 't', partition: 3 };
let clock: ManualClock;
let said: string[];
let handler: BusHandler;
let isStopping: boolean;
let commit: () => Promise<void>;
let run: PartitionRun;

beforeEach(() => {
  clock = aManualClock();
  said = [];
  handler = () => Promise.resolve();
  isStopping = false;
  commit = () => Promise.resolve();
  run = new PartitionRun(PLACE, {
    parts: {
      brokers: [],
      tls: null,
      sasl: null,
      prefix: '',
      partitions: 1,
      replication: 1,
      publishTimeoutMs: 1000,
      clock,
      log: silentLog,
      random: () => 0,
      tuning: { ...KAFKA_TUNING, batchMax: 2 },
    },
    consume: {
      topics: ['t'],
      group: 'g',
      accepts: (headers) => headers['skip'] === undefined,
      handler: (batch) => {
        said.push(`handed ${batch.map(({ offset }) => offset).join(' ')}`);
        return handler(batch);
      },
    },
    isStopping: () => isStopping,
    commit: async (_, next) => {
      said.push(`commit ${next}`);
      await commit();
    },
    pause: () => said.push('pause'),
    resume: (_, next) => said.push(`resume ${next}`),
  });
});

function messages(from: number, to: number, headers: Readonly<Record<string, string>> = {}): KafkaMessage[] {
  return Array.from({ length: to - from + 1 }, (_, i) => ({
    key: Buffer.from('k'),
    value: Buffer.from('v'),
    timestamp: '0',
    attributes: 0,
    offset: `${from + i}`,
    headers,
  }));
}

async function turns(): Promise<void> {
  for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
}

describe('a partition at a consumer', () => {
  test('is handed in batches, each committed after its handler returned', async () => {
    assert.equal(await run.take(messages(5, 9), 9), 10);
    assert.deepEqual(said, ['handed 5 6', 'commit 7', 'handed 7 8', 'commit 9', 'handed 9', 'commit 10']);
  });

  test('passes over what the headers do not accept, and commits it', async () => {
    assert.equal(await run.take(messages(5, 9, { skip: '' }), 9), 10);
    assert.deepEqual(said, ['commit 10']);
  });

  test('is paused after 100 ms of a handler, and resumed behind the batch at its end', async () => {
    const gate = Promise.withResolvers<void>();
    handler = () => gate.promise;
    const taking = run.take(messages(5, 5), 5);
    await turns();
    clock.advance(99);
    await turns();
    assert.deepEqual(said, ['handed 5']);
    clock.advance(1);
    assert.equal(await taking, null);
    gate.resolve();
    await turns();
    assert.deepEqual(said, ['handed 5', 'pause', 'commit 6', 'resume 6']);
  });

  test('is handed again after 100 and 200 ms while its handler fails', async () => {
    let failures = 2;
    handler = () => (failures-- > 0 ? Promise.reject(new Error('not yet')) : Promise.resolve());
    const taking = run.take(messages(5, 6), 6);
    await turns();
    clock.advance(100);
    assert.equal(await taking, null);
    await turns();
    clock.advance(199);
    await turns();
    assert.deepEqual(said, ['handed 5 6', 'handed 5 6', 'pause']);
    clock.advance(1);
    await turns();
    assert.deepEqual(said, ['handed 5 6', 'handed 5 6', 'pause', 'handed 5 6', 'commit 7', 'resume 7']);
  });

  test('that went elsewhere is neither tried again nor committed', async () => {
    handler = () => Promise.reject(new Error('not yet'));
    const taking = run.take(messages(5, 6), 6);
    await turns();
    run.lose();
    assert.equal(await taking, null);
    assert.deepEqual(said, ['handed 5 6']);
    assert.equal(clock.pending(), 0);
  });

  test('that went elsewhere and came back while its handler worked is fetched again at its end, from where the group stands', async () => {
    const gate = Promise.withResolvers<void>();
    handler = () => gate.promise;
    const taking = run.take(messages(5, 5), 5);
    await turns();
    clock.advance(100);
    await taking;
    run.lose();
    assert.equal(await run.take(messages(5, 8), 8), null);
    gate.resolve();
    await turns();
    assert.deepEqual(said, ['handed 5', 'pause', 'pause', 'resume null']);
    handler = () => Promise.resolve();
    assert.equal(await run.take(messages(5, 6), 6), 7);
    assert.deepEqual(said.slice(4), ['handed 5 6', 'commit 7']);
  });

  test('hands nothing below what it has settled: a commit may have been lost in a rebalance', async () => {
    await run.take(messages(5, 6), 6);
    said.length = 0;
    assert.equal(await run.take(messages(5, 7), 7), 8);
    assert.deepEqual(said, ['handed 7', 'commit 8']);
  });

  test('tries a commit that failed again at the end of the batch, then after a second', async () => {
    commit = () => Promise.reject(new Error('REBALANCE_IN_PROGRESS'));
    await run.take(messages(5, 5), 5);
    commit = () => Promise.resolve();
    clock.advance(1000);
    await turns();
    assert.deepEqual(said, ['handed 5', 'commit 6', 'commit 6', 'commit 6']);
    clock.advance(5000);
    await turns();
    assert.equal(said.length, 4);
  });

  test('that stops ends its waits, and commits what it has settled', async () => {
    let failing = false;
    handler = () => (failing ? Promise.reject(new Error('never')) : ((failing = true), Promise.resolve()));
    commit = () => Promise.reject(new Error('not now'));
    const taking = run.take(messages(5, 7), 7);
    await turns();
    assert.deepEqual(said, ['handed 5 6', 'commit 7', 'handed 7']);
    commit = () => Promise.resolve();
    isStopping = true;
    await run.stop();
    assert.equal(await taking, 7);
    assert.deepEqual(said.slice(3), ['commit 7']);
    assert.equal(clock.pending(), 0);
  });
});
