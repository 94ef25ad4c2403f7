// The bound on pushes that wait for the journal's bus, and on those that are held while the journal runs empty, at it and past it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BusFullError } from '../../bus/port.ts';
import type { Bus } from '../../bus/port.ts';
import { aManualClock } from '../../runtime/clock.ts';
import { silentLog } from '../../runtime/log.ts';
import { SHOP } from '../fixtures.ts';
import { parsePush } from '../api/request.ts';
import { newRouterCounts } from '../counts.ts';
import type { JournalEntry } from './journal-entry.ts';
import { JOURNAL_CHECK_MS, JOURNAL_WAITING_MAX, Journal } from './journal.ts';
import { keyedId } from './keyed-id.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const soon = <T>(promise: Promise<T>): Promise<T | 'waits'> =>
  Promise.race([promise, new Promise<'waits'>((resolve) => setImmediate(resolve, 'waits'))]);

/** A journal on a bus that answers only when told, with so much left in it and a store that is there. */
function aJournal(options: { left: number }) {
  const clock = aManualClock();
  const published: { size: number; done: PromiseWithResolvers<void> }[] = [];
  const bus: Bus = {
    publish(records) {
      const done = Promise.withResolvers<void>();
      published.push({ size: records.length, done });
      return done.promise;
    },
    consume: () => Promise.resolve({ stop: () => Promise.resolve() }),
    lag: () => Promise.resolve(options.left),
    health: () => ({ reachable: true, problem: null }),
    close: () => Promise.resolve(),
  };
  const journal = new Journal({
    bus,
    store: { health: () => Promise.resolve({ reachable: true, problem: null, warnings: [] }) },
    clock,
    log: silentLog,
    random: () => 0.5,
    counts: newRouterCounts(),
    replay: () => Promise.resolve(() => Promise.resolve()),
  });
  return { journal, clock, published };
}
function anEntry(): JournalEntry {
  const nowMs = 1_800_000_000_000;
  const push = parsePush({ target: { topic: 'news' }, text: 'x' }, { at: '', headerKey: null, nowMs });
  return { app: SHOP, id: keyedId(SHOP, 'k', { fingerprint: push.fingerprint, nowMs }), atMs: nowMs, push };
}

test('pushes wait for the bus up to a bound, one more is refused as the bus being full, and an answer makes room', async () => {
  const { journal, published } = aJournal({ left: 1 });
  const entry = anEntry();
  const first = journal.accept(entry);
  await turn();
  assert.deepEqual(
    published.map(({ size }) => size),
    [1],
    'the first is under way',
  );
  const waiting = Array.from({ length: JOURNAL_WAITING_MAX }, () => journal.accept(entry));
  assert.equal(await soon(waiting.at(-1)!), 'waits');
  await assert.rejects(soon(journal.accept(entry)), BusFullError);
  published[0]!.done.resolve();
  await first;
  await turn();
  const later = journal.accept(entry);
  for (let i = 1; i < published.length; i++) {
    published[i]!.done.resolve();
    await turn();
  }
  await Promise.all([...waiting, later]);
  assert.equal(
    published.reduce((sum, { size }) => sum + size, 0),
    JOURNAL_WAITING_MAX + 2,
  );
});

test('pushes are held while the journal runs empty up to a bound, one more goes by the journal at once', async () => {
  const left = { left: 1 };
  const { journal, clock } = aJournal(left);
  journal.storeFailed();
  clock.advance(JOURNAL_CHECK_MS);
  await turn();
  const held = Array.from({ length: JOURNAL_WAITING_MAX }, () => journal.takes());
  assert.deepEqual([await soon(held.at(-1)!), await soon(journal.takes())], ['waits', true]);
  left.left = 0;
  clock.advance(JOURNAL_CHECK_MS);
  await turn();
  assert.deepEqual(
    new Set(await Promise.all(held)),
    new Set([false]),
    'the journal is empty: those that were held go to the store',
  );
  assert.equal(await journal.takes(), false);
});
