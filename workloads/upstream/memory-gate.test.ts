import assert from 'node:assert/strict';
import { test } from 'node:test';
import { aManualClock } from '../runtime/clock.ts';
import { silentLog } from '../runtime/log.ts';
import { MemoryGate } from './memory-gate.ts';

test('closes above the limit, not at it, and opens again a tenth below', async () => {
  const clock = aManualClock();
  let bytes = 1000;
  const gate = new MemoryGate({ bytesMax: 1000, bytes: () => bytes, clock, log: silentLog });
  await gate.pass();
  bytes = 1001;
  let passed = false;
  const passing = gate.pass().then(() => (passed = true));
  for (bytes of [1001, 950, 901]) {
    clock.advance(250);
    await Promise.resolve();
    assert.deepEqual([passed, gate.isClosed], [false, true], `${bytes}`);
  }
  bytes = 900;
  clock.advance(250);
  await passing;
  assert.deepEqual([gate.isClosed, gate.closings], [false, 1]);
});

test('lets everyone through once it is stopped', async () => {
  const clock = aManualClock();
  const gate = new MemoryGate({ bytesMax: 1, bytes: () => 2, clock, log: silentLog });
  const passing = gate.pass();
  gate.stop();
  await passing;
  await gate.pass();
  assert.equal(clock.pending(), 0);
});
