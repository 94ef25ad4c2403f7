// The view of dead letters: its bound, and how several views follow one topic.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { openInProcessBus } from '../bus/in-process.ts';
import { BUS_TOPICS } from '../bus/port.ts';
import type { Bus } from '../bus/port.ts';
import { systemClock } from '../runtime/clock.ts';
import { silentLog } from '../runtime/log.ts';
import { UpstreamCounts } from './counts.ts';
import { deadRecord } from './dead-record.ts';
import { DeadLetters } from './dead-letters.ts';
import { anUpstreamRecord, received, until } from './fixtures.ts';

/** Its views end first: a bus waits for its handlers. */
function aBus(t: TestContext): Bus {
  const bus = openInProcessBus({ clock: systemClock, log: silentLog, batchMax: 1 });
  t.after(async () => {
    await Promise.all(views.splice(0).map((view) => view.stop()));
    await bus.close();
  });
  return bus;
}

const views: DeadLetters[] = [];

async function aView(bus: Bus, bytesMax = 1_000_000): Promise<DeadLetters> {
  const life = `${Math.random()}`;
  const counts = new UpstreamCounts();
  const view = new DeadLetters({ bus, life, clock: systemClock, log: silentLog, counts, bytesMax });
  await view.start();
  views.push(view);
  return view;
}

async function die(bus: Bus, count: number): Promise<void> {
  const why = { handler: 'database', reason: 'broken', attempts: 5, atMs: 1 };
  const records = Array.from({ length: count }, (_, i) =>
    received(anUpstreamRecord({ key: `${i}`, body: 'x'.repeat(1000) }), i),
  );
  await bus.publish(records.map((record) => deadRecord(record, why)));
}

test('reads no further past its bound, and goes on once some are dealt with', async (t) => {
  const bus = aBus(t);
  await die(bus, 10);
  const view = await aView(bus, 5000); // about 1,200 bytes each: the fifth is past it
  await until('it is full', () => view.size >= 4);
  await new Promise((resolve) => setTimeout(resolve, 50));
  const full = view.size;
  assert.ok(full <= 5, `${full}`);
  await view.drop(view.list({ after: null, limit: 3 }));
  await until('it read on', () => view.size === full);
  assert.deepEqual(
    view.list({ after: null, limit: 10 }).map(({ key }) => Number(key)),
    Array.from({ length: full }, (_, i) => i + 3),
  );
});

test('every view follows what another one dropped', async (t) => {
  const bus = aBus(t);
  const [one, two] = [await aView(bus), await aView(bus)];
  await die(bus, 3);
  await until('both have read', () => one.size === 3 && two.size === 3);
  await one.drop([one.one('0-1')!]);
  await until('the other follows', () => two.size === 2);
  assert.deepEqual(
    two.list({ after: null, limit: 10 }).map(({ id }) => id),
    ['0-0', '0-2'],
  );
});

test('a letter that comes again after its batch was handed again is held once', async (t) => {
  const bus = aBus(t);
  const view = await aView(bus);
  await die(bus, 2);
  await die(bus, 3);
  await until('all are read', async () => (await bus.lag(view.group, BUS_TOPICS.upstreamDead)) === 0);
  assert.equal(view.size, 3);
});
