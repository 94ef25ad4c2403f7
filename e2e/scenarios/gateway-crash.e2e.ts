// "A gateway's process is killed while pushes run." Scenario 3 of the issue: kill -9, nothing lost, everybody back by themselves.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { signalPod } from '../cluster/processes.ts';
import { explained } from '../world/diagnosis.ts';
import { measured } from '../world/measured.ts';
import { isReadyWith, waitForCluster } from '../world/push-cluster.ts';
import { openStage } from '../world/stage.ts';
import type { Stage } from '../world/stage.ts';
import { startTraffic } from '../world/traffic.ts';

const name = 'gateway-crash';
const namespace = `e2e-${name}`;
const CLIENTS = 600;
/** Clients are back after some seconds, and then have what they missed: nothing waits for the position check, which comes every 25 s. */
const LONGEST_MS = 10_000;

describe('a gateway that crashes', { timeout: 240_000 }, () => {
  let stage: Stage;
  before(async () => {
    stage = await explained(namespace, async () => await openStage({ name, gateways: 2 }));
  });
  after(async () => await stage?.close());

  it('kill -9 while pushes run: every client is back, nothing lost, nothing doubled', async () => {
    await explained(namespace, async () => {
      const traffic = await startTraffic(stage, { clients: CLIENTS, pushesPerSecond: 60 });
      const victim = `${name}-gateway-1`;
      const there = (await traffic.connectionsByGateway())[victim] ?? 0;
      assert.ok(there > 0, `${victim} has clients`);
      const killedAtMs = Date.now();
      await signalPod({ namespace, pod: victim }, 'SIGKILL');
      const backAtMs = await traffic.whenAllBack(killedAtMs, there);
      measured('kill -9 of a gateway', {
        'clients on it': there,
        'seconds until all clients are back': (backAtMs - killedAtMs) / 1000,
      });
      await waitForCluster(stage, 'Ready with 2 gateways again', isReadyWith(2), 60_000);
      const result = await traffic.stop('kill -9 of a gateway');
      measured('resumers after the kill', {
        'by ticket': result.resumes,
        'registry calls': result.registryCalls,
      });
      assert.ok(result.longestMs <= LONGEST_MS, `a message took ${result.longestMs} ms`);
    });
  });
});
