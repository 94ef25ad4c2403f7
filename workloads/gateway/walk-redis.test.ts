import { after, before, describe, test } from 'node:test';
import { systemClock } from '../runtime/clock.ts';
import { silentLog } from '../runtime/log.ts';
import { openRedisStore } from '../store/redis/redis-store.ts';
import { TestRedis, VOLATILE, redisMissing } from '../store/redis/test-server.ts';
import { Walk } from './walk.ts';

/** SEED=n walks that one. */
const WALKS = 2;

describe('on a real Redis', { skip: redisMissing() ?? false }, () => {
  let redis: TestRedis;
  before(async () => {
    redis = await TestRedis.start(VOLATILE);
  });
  after(() => redis.remove());

  for (let i = 0; i < WALKS; i++)
    test(`walk ${i + 1}: nothing is lost, doubled or out of order, and the ledger is exact`, async () => {
      await redis.command('FLUSHALL');
      const options = { url: redis.url, password: '', timeoutMs: 5000, clock: systemClock, log: silentLog };
      await new Walk(
        Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31)),
        await openRedisStore(options),
      ).run();
    });
});
