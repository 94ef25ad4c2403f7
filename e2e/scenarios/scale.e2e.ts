// "I scale my gateways up and down while pushes run." Scenario 2 of the issue: 2 → 3 → 2 by kubectl scale.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Pod } from '../cluster/kubectl.ts';
import { explained } from '../world/diagnosis.ts';
import { measured, peakRate, timed } from '../world/measured.ts';
import { isReadyWith, scalePushCluster, waitForCluster } from '../world/push-cluster.ts';
import type { PushCluster } from '../world/push-cluster.ts';
import { openStage } from '../world/stage.ts';
import type { Stage } from '../world/stage.ts';
import { followKind } from '../world/timeline.ts';
import { startTraffic } from '../world/traffic.ts';

const name = 'scale';
const namespace = `e2e-${name}`;
const CLIENTS = 600;
/** Reconnects a second: 200 clients of the third gateway take about 5 s. */
const BUDGET = 40;

describe('scaling by hand while pushes run', { timeout: 300_000 }, () => {
  let stage: Stage;
  before(async () => {
    const spec = { disruption: { reconnectsPerSecond: BUDGET } };
    stage = await explained(namespace, async () => await openStage({ name, gateways: 2, spec }));
  });
  after(async () => await stage?.close());

  it('2 → 3 → 2: the third takes clients, is drained before it is removed, within the budget, nothing lost', async () => {
    await explained(namespace, async () => {
      await timed('2 → 3 gateways', async () => {
        await scalePushCluster(stage, 3);
        await waitForCluster(stage, 'Ready with 3 gateways', isReadyWith(3));
      });
      const traffic = await startTraffic(stage, { clients: CLIENTS, pushesPerSecond: 60 });
      const spread = await traffic.connectionsByGateway();
      measured('clients at each of 3 gateways', spread);
      const third = `${name}-gateway-2`;
      assert.ok((spread[third] ?? 0) > CLIENTS / 6, `${third} was given clients`);

      const pods = await followKind<Pod>('pods', namespace, 'app.kubernetes.io/component=gateway');
      const clusters = await followKind<PushCluster>('pushclusters', namespace);
      const scaledAtMs = Date.now();
      await timed('3 → 2 gateways', async () => {
        await scalePushCluster(stage, 2);
        await waitForCluster(stage, 'Ready with 2 gateways', isReadyWith(2), 120_000);
      });
      pods.stop();
      clusters.stop();

      const asked = pods.seen.find(({ object }) => object.metadata.deletionTimestamp !== undefined);
      assert.equal(asked?.object.metadata.name, third, 'the highest ordinal was removed');
      const shown = clusters.seen.filter(({ object }) => object.status?.drain?.gateway.includes(third) === true);
      assert.ok(shown.length > 0, 'the status told of the drain');

      const result = await traffic.stop('scale 3 → 2');
      const moves = result.atMs.filter((atMs) => atMs >= scaledAtMs);
      const leftAtMs = moves.at(-1) ?? Number.NaN;
      const [first = Number.NaN] = moves;
      // What is asked is paced exactly; what stands a moment later is bunched by clients and machine, so the bound is over three seconds.
      const peak = peakRate(moves, 3000);
      measured('drain', {
        'budget a second': BUDGET,
        'reconnects a second on average': ((moves.length - 1) * 1000) / (leftAtMs - first),
        'in the busiest second': peakRate(moves, 1000),
        'in the busiest three seconds, a second': peak,
        'reconnects in all': moves.length,
        'of them by ticket': result.resumes,
        'registry calls by resumers': result.registryCalls,
        'connections cut without being asked': result.unasked,
        'seconds from the last client leaving to the removal': (asked.atMs - leftAtMs) / 1000,
      });
      assert.ok(leftAtMs < asked.atMs, `the last client stood elsewhere before the pod of ${third} was asked to end`);
      assert.equal(moves.length, spread[third], 'those on the third moved, and nobody else');
      assert.ok(peak <= BUDGET * 1.25, `expected at most ${BUDGET} reconnects a second, got ${peak}`);
      assert.equal(result.registryCalls, 0, 'resumers did not ask the registry');
      assert.equal(result.unasked, 0, 'nobody was cut off');
    });
  });
});
