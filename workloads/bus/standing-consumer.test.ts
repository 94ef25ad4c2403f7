// When a bus that lets nobody in is asked again, by the clock.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { aManualClock } from '../runtime/clock.ts';
import { silentLog } from '../runtime/log.ts';
import { BusUnavailableError } from './port.ts';
import type { Bus, BusConsume, BusConsumer } from './port.ts';
import { StandingConsumer } from './standing-consumer.ts';

const CONSUME: BusConsume = { topics: ['pushcluster.test'], group: 'g', handler: () => Promise.resolve() };

/** A bus whose answers to `consume` are the test's. */
function aDoor(consume: () => Promise<BusConsumer>) {
  const clock = aManualClock();
  const asked: BusConsume[] = [];
  const bus = {
    consume(options: BusConsume) {
      asked.push(options);
      return consume();
    },
  } as unknown as Bus;
  const options = { bus, consume: CONSUME, clock, log: silentLog, random: () => 0.5, refused: 'not read' };
  return { clock, asked, consumer: new StandingConsumer(options) };
}
const refuse = (): Promise<never> => Promise.reject(new BusUnavailableError('away'));
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('a bus that is away is asked again after half of 0.5, 1, 2 … s, at most of 30 s', async () => {
  const { clock, asked, consumer } = aDoor(refuse);
  consumer.start();
  await turn();
  for (const [i, waitMs] of [250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000].entries()) {
    assert.equal(asked.length, i + 1);
    clock.advance(waitMs - 1);
    await turn();
    assert.equal(asked.length, i + 1, `asked before ${waitMs} ms`);
    clock.advance(1);
    await turn();
  }
  assert.equal(consumer.isStanding, false);
  await consumer.stop();
});

test('once let in it stands, and stop stops what it was given', async () => {
  let stops = 0;
  let away = true;
  const { clock, asked, consumer } = aDoor(() =>
    away ? refuse() : Promise.resolve({ stop: () => Promise.resolve(void stops++) }),
  );
  consumer.start();
  await turn();
  away = false;
  clock.advance(250);
  await turn();
  assert.equal(consumer.isStanding, true);
  assert.deepEqual(asked, [CONSUME, CONSUME]);
  await consumer.stop();
  assert.equal(stops, 1);
});

test('stopped while it waits it asks no more; stopped while it is let in it leaves again', async () => {
  const waiting = aDoor(refuse);
  waiting.consumer.start();
  await turn();
  await waiting.consumer.stop();
  waiting.clock.advance(60_000);
  await turn();
  assert.equal(waiting.asked.length, 1);

  let stops = 0;
  const door = Promise.withResolvers<BusConsumer>();
  const entering = aDoor(() => door.promise);
  entering.consumer.start();
  await entering.consumer.stop();
  door.resolve({ stop: () => Promise.resolve(void stops++) });
  await turn();
  assert.equal(stops, 1);
  assert.equal(entering.consumer.isStanding, false);
});
