// Random walks on a real Redis that falls back to a snapshot, and on one that is killed, each alone on it.
import { test } from 'node:test';
import { onDurableRedis, onVolatileRedis } from './contract-setup.ts';
import { runWalks, WALKS_TIMEOUT_MS } from './walks.ts';
import { withStore } from '../contract-subject.ts';
import { WALK_LIMITS } from '../walk.ts';

const asked = process.env['SEED'];

onVolatileRedis((subject) => {
  test(
    'random walks on a store that falls back: what is left is whole, and who saw more is told',
    { timeout: WALKS_TIMEOUT_MS },
    (t) => withStore(subject, WALK_LIMITS, (under) => runWalks(t, under, { walks: 20, alone: true, asked })),
  );
});

onDurableRedis((subject) => {
  test('random walks on a store that is killed: nothing acknowledged is lost', { timeout: WALKS_TIMEOUT_MS }, (t) =>
    withStore(subject, WALK_LIMITS, (under) => runWalks(t, under, { walks: 20, alone: true, asked })),
  );
});
