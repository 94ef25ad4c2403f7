// What must hold in a walk (walk.ts), whatever happened: the ledger, what became of each delivery, what reads bring, dead letters.
import assert from 'node:assert/strict';
import type { StreamRead, StreamRef } from './port.ts';
import { endOfEpoch, epochAt, isDue, letterKey } from './walk-state.ts';
import type { ModelEntry, ModelStream } from './walk-state.ts';
import { DEVICES, TOPICS } from './walker.ts';
import type { Walker } from './walker.ts';
import type { MessageId } from '../protocol/ids.ts';
import { recordMessageId } from '../protocol/record.ts';

/** Sweeps, and compares everything. */
export async function check(walker: Walker): Promise<void> {
  walker.trace.push('check');
  await walker.sweepNow();
  await Promise.all([checkLedger(walker), checkStates(walker), checkReads(walker), checkLetters(walker)]);
  await Promise.all([checkSubscribers(walker), checkLost(walker)]);
}

async function checkLedger(walker: Walker): Promise<void> {
  const [{ untracked: _, ...ledger }, waiting] = await Promise.all([
    walker.store.ledger(walker.app),
    walker.store.countWaiting(walker.app),
  ]);
  assert.deepEqual(ledger, walker.model.state.counts, 'ledger');
  assert.equal(waiting, walker.model.waiting(), 'waiting');
  const { accepted, acked, expired, dead, cancelled, filtered } = ledger;
  assert.equal(accepted, acked + waiting + expired + dead + cancelled + filtered, 'the ledger is exact');
}

async function checkStates(walker: Walker): Promise<void> {
  const expected = [...walker.model.state.devices].flatMap(([device, { lanes }]) =>
    [...lanes].flatMap(([lane, { deliveries, overflowed }]) => [
      ...deliveries.map(({ id, state, offset }) => ({ device, lane, messageId: id, state, offset })),
      ...[...overflowed].map(([messageId, offset]) => ({ device, lane, messageId, state: 'dead', offset })),
    ]),
  );
  const states = await walker.store.deliveryStates(walker.app, expected);
  assert.deepEqual(
    states.map((row) => [row.state, 'offset' in row ? row.offset : 0]),
    expected.map((row) => [row.state, row.offset]),
    'what became of deliveries',
  );
}

async function checkReads(walker: Walker): Promise<void> {
  const app = walker.app;
  const nowMs = walker.under.nowMs();
  const reads: Promise<void>[] = [];
  for (const [device, { lanes }] of walker.model.state.devices)
    for (const [lane, at] of lanes) {
      const waiting = at.deliveries.filter((row) => row.state === 'waiting');
      reads.push(checkRead(walker, { app, kind: 'device', device, lane }, at, waiting));
    }
  for (const [topic, at] of walker.model.state.topics)
    reads.push(
      checkRead(
        walker,
        { app, kind: 'topic', topic },
        at,
        at.entries.filter((entry) => !isDue(entry, nowMs)),
      ),
    );
  await Promise.all(reads);
}

/** Pages from some place to the end: what waits, in order, each chained to the one before. */
async function checkRead(
  walker: Walker,
  stream: StreamRef,
  at: ModelStream,
  held: readonly ModelEntry[],
): Promise<void> {
  const start = walker.random(at.head + 1);
  const known = walker.chance(70);
  let after: StreamRead['after'] = known ? { epoch: epochAt(at, start), offset: start } : null;
  const offsets: [number, MessageId][] = [];
  for (let isFirst = true; ; isFirst = false) {
    const [read] = await walker.store.read([{ stream, after, entriesMax: 3 + walker.random(6) }]);
    assert.equal(read!.notRecovered, isFirst && !known ? 'no-position' : null, 'recovered');
    let prev = read!.from;
    for (const entry of read!.entries) {
      assert.equal(entry.prev, prev, 'each names the one before it');
      assert.ok(entry.offset > entry.prev, 'in order');
      offsets.push([entry.offset, recordMessageId(entry.record)]);
      prev = entry.offset;
    }
    assert.equal(read!.head, at.head);
    if (read!.complete) break;
    assert.ok(read!.entries.length > 0, 'a page that is not the last has entries');
    after = { epoch: read!.epoch!, offset: prev };
  }
  const expected = held.filter(({ offset }) => !known || offset > start).map(({ offset, id }) => [offset, id]);
  assert.deepEqual(offsets, expected, `read of ${stream.kind === 'topic' ? stream.topic : stream.device}`);
}

/** Who holds a position of a lost tail is told so, and gets all that came since. */
async function checkLost(walker: Walker): Promise<void> {
  for (const { device, lane, epoch, offset } of walker.lost) {
    const at = walker.model.lane(device, lane);
    const end = at === undefined ? null : endOfEpoch(at, epoch);
    if (at === undefined || end === null || end >= offset) continue;
    const stream = { app: walker.app, kind: 'device', device, lane } as const;
    const [read] = await walker.store.read([{ stream, after: { epoch, offset }, entriesMax: 500 }]);
    assert.equal(read!.notRecovered, 'ahead');
    const first = at.deliveries.find((row) => row.state === 'waiting' && row.offset > end);
    assert.equal(read!.entries[0]?.offset, first?.offset, 'all that came since');
  }
}

async function checkLetters(walker: Walker): Promise<void> {
  const [letters, count] = await Promise.all([walker.letters(), walker.store.countDeadLetters(walker.app)]);
  assert.equal(count, walker.model.state.letters.size, 'dead letters');
  for (const letter of letters) {
    const { device, account, stream, messageId, epoch, offset, state } = letter;
    const known = walker.model.state.letters.get(letterKey(letter));
    assert.deepEqual({ device, account, stream, messageId, epoch, offset, state }, known, 'a dead letter');
  }
  assert.equal(letters.length, count);
}

async function checkSubscribers(walker: Walker): Promise<void> {
  for (const topic of TOPICS) {
    const page = await walker.store.topicSubscribers(walker.app, topic, { after: null, limit: 9 });
    const devices = DEVICES.filter((name) => walker.model.device(name).cursors.has(topic));
    assert.deepEqual(page, { count: devices.length, devices }, `subscribers of ${topic}`);
  }
}
