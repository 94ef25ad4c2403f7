// Random walks on a real Redis.
import { test } from 'node:test';
import { onVolatileRedis } from './contract-setup.ts';
import { runWalks, WALKS_TIMEOUT_MS } from './walks.ts';
import { withStore } from '../contract-subject.ts';
import { WALK_LIMITS } from '../walk.ts';

const asked = process.env['SEED'];

onVolatileRedis((subject) => {
  test(
    '200 random walks lose nothing, end each delivery once and keep an exact ledger',
    { timeout: WALKS_TIMEOUT_MS },
    (t) => withStore(subject, WALK_LIMITS, (under) => runWalks(t, under, { walks: 200, alone: false, asked })),
  );
});
