// The store contract on a real Redis that keeps nothing over a restart but a snapshot: falling back to it loses the tail.
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe } from 'node:test';
import { openEmpty, untilReachable } from './contract-setup.ts';
import { redisMissing, TestRedis, VOLATILE } from './test-server.ts';
import { storeContract } from '../contract.ts';

describe('redis', { skip: redisMissing() ?? false }, () => {
  let redis: TestRedis;
  before(async () => {
    redis = await TestRedis.start(VOLATILE);
  });
  after(() => redis.remove());

  storeContract({
    name: 'redis without persistence',
    skip: null,
    hooks: ['checkpoint'],
    async open(limits) {
      const under = await openEmpty([redis], redis.url, limits);
      const [file, backup] = [join(redis.dir, 'dump.rdb'), join(redis.dir, 'backup.rdb')];
      return {
        ...under,
        async checkpoint() {
          await redis.command('SAVE');
          copyFileSync(file, backup);
        },
        async fallBack() {
          await redis.kill();
          copyFileSync(backup, file);
          await redis.start();
          await untilReachable(under.store);
        },
      };
    },
  });
});
