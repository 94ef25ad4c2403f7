import assert from 'node:assert/strict';
import { test } from 'node:test';
import { aManualClock } from '../runtime/clock.ts';
import { silentLog } from '../runtime/log.ts';
import { aDevice, aRouter, aStore } from './fixtures.ts';
import { INTAKE_TICK_MS, Intake, decideIntake, memoryLimitOf } from './intake.ts';
import type { IntakeLevel } from './intake.ts';

const LIMITS = { memoryBytesMax: 1000, bandwidthBytesPerSecond: 1000 };

const cases: readonly [title: string, before: IntakeLevel, memory: number, bandwidth: number, level: IntakeLevel][] = [
  ['below both limits everything is taken', 0, 999, 799, 0],
  ['at the memory limit live messages are not', 0, 1000, 0, 1],
  ['a tenth above it durable ones are not either', 0, 1100, 0, 2],
  ['just below that they are', 0, 1099, 0, 1],
  ['at 80 % of the bandwidth live messages are not taken', 0, 0, 800, 1],
  ['at 95 % durable ones are not either', 0, 0, 950, 2],
  ['the worse of the two counts', 0, 1000, 950, 2],
  ['live messages come back only a tenth below where they went', 1, 900, 0, 1],
  ['and then they do', 1, 899, 0, 0],
  ['of bandwidth too', 1, 0, 720, 1],
  ['and then they do, of bandwidth', 1, 0, 719, 0],
  ['durable ones come back before live ones', 2, 989, 0, 1],
  ['and not before that', 2, 990, 0, 2],
  ['all at once when the load is gone', 2, 0, 0, 0],
];
for (const [title, before, memoryBytes, bytesPerSecond, level] of cases)
  test(title, () => assert.equal(decideIntake(before, { memoryBytes, bytesPerSecond }, LIMITS), level));

test('limits that are off hold nothing back', () => {
  const load = { memoryBytes: 1e12, bytesPerSecond: 1e12 };
  assert.equal(decideIntake(2, load, { memoryBytesMax: 0, bandwidthBytesPerSecond: 0 }), 0);
});

test('the memory limit is the setting, or four fifths of what the container may use', () => {
  assert.deepEqual(
    [memoryLimitOf(5, 1000), memoryLimitOf(0, 1000), memoryLimitOf(0, 0), memoryLimitOf(0, 2 ** 64)],
    [5, 800, 0, 0],
  );
});

test('the bandwidth is a mean over about a second: a burst of one tick holds nothing back, a lasting one does', () => {
  const clock = aManualClock();
  let bytes = 0;
  const intake = new Intake({ limits: LIMITS, clock, log: silentLog, memoryBytes: () => 0, bytes: () => bytes });
  const tick = (more: number): IntakeLevel => {
    bytes += more;
    clock.advance(INTAKE_TICK_MS);
    return intake.level;
  };
  assert.equal(tick(700), 0, '2,800 bytes a second, once');
  for (let i = 0; i < 20; i++) tick(0);
  const levels = Array.from({ length: 20 }, () => tick(300));
  assert.deepEqual([levels[0], levels.at(-1)], [0, 2]);
  assert.throws(() => intake.assertOpen('live'), { code: 'overloaded', retryAfterMs: 1000 });
  assert.throws(() => intake.assertOpen('durable'), { code: 'overloaded' });
  for (let i = 0; i < 20; i++) tick(0);
  assert.doesNotThrow(() => intake.assertOpen('live'));
  intake.stop();
  assert.equal(clock.pending(), 0);
});

test('a router above its memory limit answers 503 with a wait, and shows it; what is asked is still answered', async (t) => {
  const { store } = await aStore(t);
  await aDevice(store, 'phone-1');
  const { push, ask, metric, adminUrl } = await aRouter(t, { store, settings: { intakeMemoryBytesMax: 1 } });
  while ((await metric('pushcluster_router_intake_level')) < 2) await new Promise(setImmediate);
  for (const kind of ['live', 'durable']) {
    const { status, headers, body } = await push({ target: { device: 'phone-1' }, text: 'hi', class: kind });
    assert.deepEqual([status, body.error?.['code'], headers.get('retry-after')], [503, 'overloaded', '1']);
  }
  assert.equal((await ask('/v1/devices/phone-1')).status, 200);
  const details = (await (await fetch(`${adminUrl}/readyz`)).json()) as Record<string, unknown>;
  assert.deepEqual([details['ready'], details['intake']], [true, 2]);
});
