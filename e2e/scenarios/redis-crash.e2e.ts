// "My Redis is killed and restarted under load." Scenario 7 of the issue: a Redis of the user's own, every write on disk before its answer
// (appendfsync always). Connections stay, durable pushes wait and go on, none that was accepted is lost.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { signalPod } from '../cluster/processes.ts';
import { explained } from '../world/diagnosis.ts';
import { measured } from '../world/measured.ts';
import { OWN_REDIS_POD, ownRedis, ownRedisStore, waitForOwnRedis } from '../world/own-redis.ts';
import { isReadyWith, waitForCluster } from '../world/push-cluster.ts';
import { openStage } from '../world/stage.ts';
import type { Stage } from '../world/stage.ts';
import { startTraffic } from '../world/traffic.ts';

const name = 'redis-crash';
const namespace = `e2e-${name}`;
const CLIENTS = 300;
const KILLS = 2;
describe('a Redis that crashes', { timeout: 300_000 }, () => {
  let stage: Stage;
  before(async () => {
    stage = await explained(
      namespace,
      async () =>
        await openStage({
          name,
          gateways: 2,
          spec: { store: ownRedisStore(namespace) },
          beforehand: ownRedis(namespace),
        }),
    );
  });
  after(async () => await stage?.close());

  it('killed and restarted under load: clients stay, pushes go on, no durable message is lost', async () => {
    await explained(namespace, async () => {
      const traffic = await startTraffic(stage, { clients: CLIENTS, pushesPerSecond: 60 });
      let longestAwayMs = 0;
      for (let kill = 1; kill <= KILLS; kill++) {
        await traffic.whenAccepted(300);
        const killedAtMs = Date.now();
        await signalPod({ namespace, pod: OWN_REDIS_POD }, 'SIGKILL');
        await waitForOwnRedis(namespace, kill);
        const readyAtMs = Date.now();
        longestAwayMs = Math.max(longestAwayMs, readyAtMs - killedAtMs);
        await traffic.whenAccepted(100);
        measured(`kill -9 of Redis, number ${kill}`, {
          'seconds until its pod is Ready again': (readyAtMs - killedAtMs) / 1000,
          'longest time without an accepted push, seconds': traffic.longestSilenceMs(killedAtMs) / 1000,
        });
      }
      await traffic.whenAccepted(300);
      await waitForCluster(stage, 'Ready throughout', isReadyWith(2), 60_000);
      const result = await traffic.stop('Redis killed under load');
      assert.equal(result.unasked, 0, 'connections stayed while Redis was away');
      // Latency counts from the first try; nothing waits for the position check, which comes every 25 s.
      assert.ok(result.longestMs <= longestAwayMs + 10_000, `a message took ${result.longestMs} ms`);
    });
  });
});
