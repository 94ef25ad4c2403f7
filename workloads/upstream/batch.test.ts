// How a batch comes to be settled: order by key, retries, dead letters, by a clock that the tests move.
import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { openInProcessBus } from '../bus/in-process.ts';
import { BUS_TOPICS, BusUnavailableError } from '../bus/port.ts';
import type { Bus, ReceivedRecord } from '../bus/port.ts';
import { aManualClock } from '../runtime/clock.ts';
import type { ManualClock } from '../runtime/clock.ts';
import { silentLog } from '../runtime/log.ts';
import { BatchWork, StoppingError } from './batch.ts';
import { UpstreamCounts } from './counts.ts';
import { anUpstreamRecord, received, ScriptedHandler } from './fixtures.ts';
import type { MessageSpec } from './fixtures.ts';
import { DUPLICATE, HANDLED, HandlerUnavailableError } from './handlers/handler.ts';
import type { Outcome } from './handlers/handler.ts';
import { Lane } from './lane.ts';

let clock: ManualClock;
let bus: Bus;
const dead: ReceivedRecord[] = [];
let counts: UpstreamCounts;
let one: ScriptedHandler;
let two: ScriptedHandler;
let work: BatchWork;

beforeEach(async () => {
  clock = aManualClock();
  bus = openInProcessBus({ clock, log: silentLog });
  dead.length = 0;
  counts = new UpstreamCounts();
  one = new ScriptedHandler();
  two = new ScriptedHandler({ batchMax: 1 });
  await bus.consume({
    topics: [BUS_TOPICS.upstreamDead],
    group: 'test',
    handler: (batch) => Promise.resolve(void dead.push(...batch)),
  });
  work = aWork();
});

function aWork(over: { bus?: Bus } = {}): BatchWork {
  return new BatchWork({
    bus,
    rules: [
      { kinds: ['order'], type: 'database' },
      { kinds: ['hook'], type: 'webhook', url: 'http://x' },
    ],
    lanes: [new Lane(one), new Lane(two)],
    counts,
    clock,
    log: silentLog,
    random: () => 0.5,
    attemptsMax: 3,
    backoffMs: 100,
    holdMs: 60_000,
    ...over,
  });
}

const batchOf = (...specs: readonly MessageSpec[]): ReceivedRecord[] =>
  specs.map((spec, i) => received(anUpstreamRecord(spec), i));

async function turns(): Promise<void> {
  for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** Lets `ms` pass in small steps, with what follows from each. */
async function pass(ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 10) {
    clock.advance(10);
    await turns();
  }
}

const failing = (times: number): (() => Outcome) => {
  let left = times;
  return () => (left-- > 0 ? { kind: 'failed', reason: 'not yet' } : HANDLED);
};

describe('a batch', () => {
  test('goes to each handler in one call where it takes many, one by one where it does not', async () => {
    await work.handleBatch(
      batchOf({ key: 'a' }, { key: 'b', device: 'e' }, { key: 'c', kind: 'hook' }, { key: 'd', kind: 'hook' }),
    );
    assert.deepEqual(
      one.asked.map((call) => call.map(({ key }) => key)),
      [['a', 'b']],
    );
    assert.deepEqual(
      two.asked.map((call) => call.map(({ key }) => key)),
      [['c'], ['d']],
    );
  });

  test('keeps the order of a key over handlers', async () => {
    const asked: string[] = [];
    one.answer = two.answer = ({ key }) => {
      asked.push(key);
      return HANDLED;
    };
    const kinds = ['order', 'hook', 'order', 'order', 'hook', 'hook', 'order'];
    await work.handleBatch(batchOf(...kinds.map((kind, i) => ({ kind, key: `${i}` }))));
    assert.deepEqual(asked, ['0', '1', '2', '3', '4', '5', '6']);
  });

  test('tries a message again after 100 and 200 ms; what is behind it in its key waits, other keys do not', async () => {
    const answer = failing(2);
    two.answer = ({ key }) => (key === 'a' ? answer() : HANDLED);
    const kind = 'hook';
    const done = work.handleBatch(batchOf({ key: 'a', kind }, { key: 'b', kind }, { key: 'x', device: 'other', kind }));
    await turns();
    assert.deepEqual(two.keys, ['a', 'x']);
    await pass(90);
    assert.deepEqual(two.keys, ['a', 'x']);
    await pass(20);
    assert.deepEqual(two.keys, ['a', 'x', 'a']);
    await pass(180);
    assert.deepEqual(two.keys, ['a', 'x', 'a']);
    await pass(30);
    await done;
    assert.deepEqual(two.keys, ['a', 'x', 'a', 'a', 'b']);
    assert.deepEqual(dead, []);
  });

  test('a message that fails attemptsMax times is a dead letter with the reason, and those behind it go on', async () => {
    two.answer = ({ key }) => (key === 'a' ? { kind: 'failed', reason: 'broken' } : HANDLED);
    const done = work.handleBatch(batchOf({ key: 'a', kind: 'hook' }, { key: 'b', kind: 'hook' }));
    await pass(1000);
    await done;
    await turns();
    assert.equal(dead.length, 1);
    const { headers, value, key } = dead[0]!;
    assert.deepEqual(two.keys, ['a', 'a', 'a', 'b']);
    assert.equal(key, 'shop/d');
    assert.deepEqual(
      { ...headers },
      {
        ...anUpstreamRecord({ key: 'a', kind: 'hook' }).headers,
        origin: '0-0',
        id: '0-0',
        state: 'dead',
        handler: 'webhook',
        reason: 'broken',
        attempts: '3',
        deadAtMs: headers['deadAtMs'],
      },
    );
    assert.equal(Buffer.from(value).toString(), '{"n":1}');
  });

  for (const [what, spec, reason] of [
    ['that nobody handles', { kind: 'unheard' }, 'no handler for kind unheard'],
    ['that does not parse', { device: 'a b' }, /^malformed: device: expected/],
  ] as const)
    test(`a message ${what} is a dead letter at once`, async () => {
      await work.handleBatch(batchOf({ key: 'before' }, spec, { key: 'after' }));
      await turns();
      assert.match(dead[0]?.headers['reason'] ?? '', typeof reason === 'string' ? new RegExp(`^${reason}$`) : reason);
      assert.deepEqual([one.keys, dead.length], [['before', 'after'], 1]);
    });

  test('a message that is rejected is a dead letter at once; a duplicate is settled', async () => {
    one.answer = ({ key }) => (key === 'a' ? { kind: 'rejected', reason: 'never' } : DUPLICATE);
    await work.handleBatch(batchOf({ key: 'a' }, { key: 'b' }));
    await turns();
    assert.deepEqual(
      dead.map(({ headers }) => [headers['key'], headers['reason'], headers['attempts']]),
      [['a', 'never', '1']],
    );
  });

  test('waits for a handler that is away without counting it, and dead-letters after holdMs', async () => {
    one.answer = () => Promise.reject(new HandlerUnavailableError('gone'));
    const done = work.handleBatch(batchOf({ key: 'a' }));
    await pass(59_000);
    assert.equal(dead.length, 0);
    await pass(32_000);
    await done;
    await turns();
    assert.match(dead[0]!.headers['reason'] ?? '', /^unavailable for \d+ s: gone$/);
    assert.equal(dead[0]!.headers['attempts'], '0');
  });

  test('a handler that asks to come later is asked then', async () => {
    let answers = 0;
    two.answer = () => (answers++ === 0 ? { kind: 'unavailable', reason: '429', retryAfterMs: 5000 } : HANDLED);
    const done = work.handleBatch(batchOf({ kind: 'hook' }));
    await pass(4900);
    assert.equal(answers, 1);
    await pass(200);
    await done;
    assert.equal(answers, 2);
  });

  test('a dead letter that the bus does not take fails the batch: it comes again', async () => {
    const away: Bus = { ...bus, publish: () => Promise.reject(new BusUnavailableError('away')) };
    await assert.rejects(aWork({ bus: away }).handleBatch(batchOf({ kind: 'unheard' })), BusUnavailableError);
  });

  test('stopping ends waits and fails the batch, after calls under way have ended', async () => {
    const gate = Promise.withResolvers<Outcome>();
    one.answer = ({ key }) => (key === 'slow' ? gate.promise : { kind: 'failed', reason: 'not yet' });
    let ended = false;
    const done = work.handleBatch(batchOf({ key: 'a' }, { key: 'slow', device: 'e' })).finally(() => (ended = true));
    await turns();
    work.stop();
    await turns();
    assert.equal(ended, false);
    gate.resolve(HANDLED);
    await assert.rejects(done, StoppingError);
    assert.equal(clock.pending(), 0);
    assert.equal(counts.inHand, 0);
  });
});
