import assert from 'node:assert/strict';
import { setTimeout as wait } from 'node:timers/promises';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { systemClock } from '../../runtime/clock.ts';
import { silentLog } from '../../runtime/log.ts';
import { openRedisStore } from '../../store/redis/redis-store.ts';
import { DURABLE, TestRedis, redisMissing } from '../../store/redis/test-server.ts';
import { World } from '../fixtures.ts';
import type { TestGateway } from '../fixtures.ts';
import type { TestClient } from '../test-client.ts';

const skip = redisMissing() ?? false;
const PATIENCE_MS = 15_000;

let world: World;
let redis: TestRedis;
beforeEach(async () => {
  if (skip !== false) return;
  world = new World();
  await world.store.close();
  redis = await TestRedis.start(DURABLE);
  world.store = await openRedisStore({
    url: redis.url,
    password: '',
    timeoutMs: 300,
    clock: systemClock,
    log: silentLog,
  });
});
afterEach(async () => {
  if (skip !== false) return;
  await world.end();
  await redis.remove();
});

/** Both times move: the gateway's by hand, the store's by itself. */
async function untilState(
  gateway: TestGateway,
  what: string,
  isSo: (state: Awaited<ReturnType<TestGateway['state']>>) => boolean,
) {
  const endsAt = performance.now() + PATIENCE_MS;
  while (!isSo(await gateway.state())) {
    if (performance.now() > endsAt) throw new Error(`waited in vain until ${what}`);
    await world.pass(100);
    await wait(20);
  }
}
async function untilBodies(client: TestClient, expected: readonly unknown[]): Promise<void> {
  const endsAt = performance.now() + PATIENCE_MS;
  const bodies = (): unknown[] => client.frames.flatMap((frame) => (frame.type === 'message' ? [frame.body] : []));
  while (bodies().length < expected.length && performance.now() < endsAt) {
    await world.pass(50);
    await wait(20);
  }
  assert.deepEqual(bodies(), expected);
}

const OUTAGES = {
  'was killed and started again': [() => redis.kill(), () => redis.start()],
  'hung and went on': [() => Promise.resolve(redis.signal('SIGSTOP')), () => Promise.resolve(redis.signal('SIGCONT'))],
} as const;

describe('sessions that came while a real Redis', { skip }, () => {
  for (const [title, [takeAway, giveBack]] of Object.entries(OUTAGES))
    test(`${title} live on in it: nothing is lost, nothing comes again, and the next place is known`, async () => {
      const gateway = await world.gateway({ leaseMs: 900, positionCheckMs: 3_600_000 });
      await untilState(gateway, 'it is active', ({ state }) => state === 'active');
      const router = await gateway.router();
      const stays = await gateway.connect({ token: await world.device('stays') });
      const moves = await gateway.connect({ token: await world.device('moves') });
      const token = await world.device('comes');
      for (const device of ['stays', 'moves', 'comes']) await world.appendTo(device, `${device} 1`);
      const first = await world.appendTo('moves', 'moves 2');
      await router.toDevice('moves', first);
      await untilBodies(moves, ['moves 1', 'moves 2']);
      moves.ack('@normal', 2);

      await takeAway();
      await untilState(gateway, 'it noticed', ({ store }) => store === 'away');
      const comes = await gateway.connect({ token });
      const positions = [{ stream: '@normal' as const, epoch: first.epoch, offset: 2 }];
      const moved = await gateway.connect({ ticket: moves.welcome().ticket, positions });
      await router.toTopic('$all', { record: world.record('live').record }, 1);
      for (const client of [stays, comes, moved]) await untilBodies(client, ['live']);
      assert.equal((await gateway.state()).provisional, 2);

      await giveBack();
      await untilState(
        gateway,
        'the store has them',
        ({ provisional, store }) => provisional === 0 && store === 'reachable',
      );
      await router.toDevice('stays', await world.appendTo('stays', 'stays 2'));
      await router.toDevice('moves', await world.appendTo('moves', 'moves 3'));
      await untilBodies(stays, ['live', 'stays 1', 'stays 2']);
      await untilBodies(comes, ['live', 'comes 1']);
      await untilBodies(moved, ['live', 'moves 3']);
      const { ticket } = moved.frames.findLast((frame) => frame.type === 'pong')!;
      const again = await gateway.connect({ ticket: ticket! });
      assert.equal(again.welcome().streams.find(({ stream }) => stream === '@normal')?.offset, 2);
    });
});
